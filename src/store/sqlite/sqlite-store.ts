import { isBusy, whenFree } from './busy.js'
import { createCommitQueue } from './commit-queue.js'
import { createRunner, type Steps } from './runner.js'

/**
 * What the plugin asks of the host's handle: a
 * {@link https://github.com/WiseLibs/better-sqlite3/blob/master/docs/api.md better-sqlite3} `Database`.
 */
export interface SqliteDatabase {
  readonly open: boolean
  readonly inTransaction: boolean
  prepare (sql: string): SqliteStatement
  pragma (source: string, options?: { simple?: boolean }): unknown
  exec (sql: string): unknown
}

/** What the plugin asks of a prepared statement. */
export interface SqliteStatement {
  run (...values: unknown[]): unknown
  get (...values: unknown[]): unknown
  all (...values: unknown[]): unknown[]
  columns (): Array<{ name: string }>
  safeIntegers (toggle?: boolean): this
  pluck (toggle?: boolean): this
  raw (toggle?: boolean): this
}

/** The one way to the host's handle, shared by all registrations on it. */
export interface DatabaseAccess {
  /**
   * Runs rules that only read, at once where nothing is in the way.
   *
   * @throws {DatabaseBusyError} after `lockTimeout` milliseconds
   */
  read: <Result>(steps: () => Steps<Result>, lockTimeout: number) => Result | Promise<Result>
  /**
   * Runs rules in a transaction; resolves after COMMIT.
   *
   * @throws {DatabaseBusyError} after `lockTimeout` milliseconds
   */
  update: <Result>(steps: () => Steps<Result>, lockTimeout: number) => Promise<Result>
  /** Runs anything synchronous in a transaction, as `update` does. */
  transact: <Result>(work: () => Result, lockTimeout: number) => Promise<Result>
  /** Resolves when all that waits now has been answered. */
  settled: () => Promise<unknown>
}

const accesses = new WeakMap<SqliteDatabase, DatabaseAccess>()

/** One queue and one set of prepared statements for each handle, however often the plugin is registered on it. */
export function accessTo (database: SqliteDatabase): DatabaseAccess {
  let access = accesses.get(database)
  if (access === undefined) accesses.set(database, access = createAccess(database))
  return access
}

function createAccess (database: SqliteDatabase): DatabaseAccess {
  const run = createRunner(database)
  const queue = createCommitQueue(database)
  // In WAL mode no writer locks a reader out, so a read need not guard against waiting.
  let readersAreFree = false

  // Who finds the handle in use stands in line, so that all go on in the order of their arrival.
  let line: Promise<unknown> | undefined
  function inLine<Result> (work: () => Result, lockTimeout: number): Promise<Result> {
    const deadline = performance.now() + lockTimeout
    const ahead = line
    const result = (async () => {
      await ahead
      return await whenFree(database, work, deadline - performance.now())
    })()
    const left = result.catch(() => undefined).then(() => { if (line === left) line = undefined })
    line = left
    return result
  }

  return {
    read: (steps, lockTimeout) => {
      // What the host has not committed yet may never have been.
      if (readersAreFree && line === undefined && !database.inTransaction) {
        try {
          return run(steps())
        } catch (error) {
          if (!isBusy(error)) throw error
        }
      }
      return inLine(() => {
        readersAreFree = database.pragma('journal_mode', { simple: true }) === 'wal'
        return run(steps())
      }, lockTimeout)
    },
    update: (steps, lockTimeout) => queue.commit(() => run(steps()), lockTimeout),
    transact: queue.commit,
    settled: queue.settled
  }
}
