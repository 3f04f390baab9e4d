import { isPromise } from 'node:util/types'

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
  unsafeMode? (on?: boolean): unknown
}

/** What the plugin asks of a prepared statement. */
export interface SqliteStatement {
  run (...values: unknown[]): unknown
  get (...values: unknown[]): unknown
  all (...values: unknown[]): unknown[]
  safeIntegers (toggle?: boolean): this
  pluck (toggle?: boolean): this
  raw (toggle?: boolean): this
}

/** What better-sqlite3 says while the host iterates over rows on the same handle. */
export const ITERATOR_IS_OPEN = 'This database connection is busy executing a query'

/** Whether a value is such a handle, and open. Other libraries have the same members, so it is asked once. */
export function isOpenDatabase (value: unknown): value is SqliteDatabase {
  try {
    const { open, inTransaction, pragma, exec } = value as Partial<SqliteDatabase>
    if (open !== true || typeof inTransaction !== 'boolean') return false
    if (typeof pragma !== 'function' || typeof exec !== 'function') return false
    const statement = refusePromise((value as SqliteDatabase).prepare('SELECT 1')).safeIntegers(false)
    const row = refusePromise(statement.raw(true).get())
    return Array.isArray(row) && row[0] === 1 && refusePromise(statement.pluck(true).get()) === 1
  } catch (error) {
    return (Object(error) as { message?: unknown }).message === ITERATOR_IS_OPEN
  }
}

function refusePromise<Answer> (answer: Answer): Answer {
  if (!isPromise(answer)) return answer
  // It may reject, which must not end the process.
  answer.catch(() => undefined)
  throw new TypeError('A promise')
}
