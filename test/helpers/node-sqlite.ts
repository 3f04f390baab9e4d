// node:sqlite for tests, if this Node.js has it. The types are our own, because @types/node of the lowest Node.js has none.

import type Database from 'better-sqlite3'
import { loadNodeSqlite } from '../../src/cli/open-node-sqlite.js'
import type { NodeSqliteDatabase, NodeSqliteStatement } from '../../src/store/sqlite/handle.js'

export interface Handle extends NodeSqliteDatabase {
  prepare (sql: string): NodeSqliteStatement & {
    iterate: (...values: unknown[]) => Iterator<unknown>
    setAllowBareNamedParameters: (enabled: boolean) => unknown
  }
  close (): void
}

const sqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: new (file: string, options?: object) => Handle } | undefined

/** Undefined on a Node.js without node:sqlite. Tests that need the class are skipped there. */
export const DatabaseSync = sqlite?.DatabaseSync as new (file: string, options?: object) => Handle

const openBare = loadNodeSqlite()

/** Why tests of node:sqlite cannot run. False if they can. */
export const skip = openBare !== undefined ? false : 'this Node.js has no node:sqlite that reads whole texts'

type Method = (...values: unknown[]) => unknown
/** The handle of node:sqlite, with the members that the code below uses. */
interface BareHandle extends Record<'exec' | 'close', Method> {
  prepare: (sql: string) => BareStatement
  isOpen: boolean
  isTransaction: boolean
}
interface BareStatement extends Record<'run' | 'get' | 'all' | 'iterate', Method> {
  setReturnArrays: (enabled: boolean) => void
  columns: () => unknown[]
}

/**
 * Opens a file with node:sqlite, as the commands do, and adds the methods of better-sqlite3 that tests use. Undefined if this Node.js has
 * no node:sqlite that the plugin accepts.
 */
export const openNodeSqlite = openBare && ((file: string, options: Database.Options): Database.Database => {
  const handle = openBare(file, options) as unknown as BareHandle
  const [prepare, exec, close] = [handle.prepare.bind(handle), handle.exec.bind(handle), handle.close.bind(handle)]
  const inTransaction = (sql: { begin: string, commit: string, rollBack: string }, work: Method): Method => (...values) => {
    exec(sql.begin)
    try {
      const result = work(...values)
      exec(sql.commit)
      return result
    } catch (error) {
      if (handle.isTransaction) exec(sql.rollBack)
      throw error
    }
  }
  const savepoint = { begin: 'SAVEPOINT nested', commit: 'RELEASE nested', rollBack: 'ROLLBACK TO nested; RELEASE nested' }
  const immediate = { begin: 'BEGIN IMMEDIATE', commit: 'COMMIT', rollBack: 'ROLLBACK' }
  Object.defineProperty(handle, 'inTransaction', { get: () => handle.isTransaction })
  return Object.assign(handle, {
    pragma: (source: string, { simple = false } = {}): unknown => {
      const statement = prepare(`PRAGMA ${source}`)
      statement.setReturnArrays(simple)
      return simple ? (statement.get() as unknown[] | undefined)?.[0] : statement.all()
    },
    prepare: (sql: string) => addMethods(withCode(() => prepare(sql))),
    exec: (sql: string) => withCode(() => exec(sql)),
    // node:sqlite fails when it is closed twice.
    close: () => { if (handle.isOpen) close() },
    transaction: (work: Method) => Object.assign(inTransaction(savepoint, work), { immediate: inTransaction(immediate, work) })
  }) as unknown as Database.Database
})

/** Adds `raw`, `pluck` and `reader`, takes parameters in arrays, and gives rows the prototype of objects. */
function addMethods (statement: BareStatement): BareStatement {
  const [run, get, all, iterate] = (['run', 'get', 'all', 'iterate'] as const).map((name) => {
    const method = statement[name].bind(statement)
    return (...values: unknown[]) => withCode(() => method(...values.flat()))
  }) as [Method, Method, Method, Method]
  let isPlucked = false
  const convert = (row: unknown): unknown => {
    if (Array.isArray(row)) return isPlucked ? row[0] : row
    return typeof row === 'object' && row !== null ? { ...row } : row
  }
  return Object.assign(statement, {
    run,
    get: (...values: unknown[]) => convert(get(...values)),
    all: (...values: unknown[]) => (all(...values) as unknown[]).map(convert),
    iterate,
    raw: () => {
      statement.setReturnArrays(true)
      return statement
    },
    pluck: () => {
      isPlucked = true
      statement.setReturnArrays(true)
      return statement
    },
    reader: statement.columns().length > 0
  })
}

// https://sqlite.org/rescode.html. The low byte of an extended result code is its primary result code.
const primaryResultCodes: Record<number, string> = {
  5: 'BUSY', 6: 'LOCKED', 8: 'READONLY', 10: 'IOERR', 11: 'CORRUPT', 13: 'FULL', 14: 'CANTOPEN', 19: 'CONSTRAINT', 26: 'NOTADB'
}
const SQLITE_CONSTRAINT_TRIGGER = 1811

/** Gives an error the `code` that it has in better-sqlite3. */
function withCode<Result> (work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    const { errcode } = error as { errcode?: number }
    if (errcode === undefined) throw error
    const name = errcode === SQLITE_CONSTRAINT_TRIGGER ? 'CONSTRAINT_TRIGGER' : primaryResultCodes[errcode & 0xff] ?? 'ERROR'
    throw Object.assign(error as Error, { code: `SQLITE_${name}` })
  }
}
