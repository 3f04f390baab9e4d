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

/** What the plugin asks of the host's handle: a {@link https://nodejs.org/api/sqlite.html node:sqlite} `DatabaseSync`. */
export interface NodeSqliteDatabase {
  readonly isOpen: boolean
  readonly isTransaction: boolean
  prepare (sql: string): NodeSqliteStatement
  exec (sql: string): unknown
}

/** What the plugin asks of a prepared statement of node:sqlite. */
export interface NodeSqliteStatement {
  run (...values: unknown[]): { changes: number | bigint }
  get (...values: unknown[]): unknown
  all (...values: unknown[]): unknown[]
  setReadBigInts (enabled: boolean): unknown
  setReturnArrays (enabled: boolean): unknown
}

export type SqliteHandle = SqliteDatabase | NodeSqliteDatabase

/** A SELECT would wait while another connection has locked the file. This query does not. */
const PROBE = 'PRAGMA foreign_keys'

/** Whether a value is an open handle of better-sqlite3 or node:sqlite. Other libraries have the same members, so this runs a query. */
export function isOpenDatabase (value: unknown): value is SqliteHandle {
  try {
    return isBetterSqlite3(value as Partial<SqliteDatabase>) || isNodeSqlite(value as Partial<NodeSqliteDatabase>)
  } catch (error) {
    // better-sqlite3 refuses the query while the host reads rows, which it can only do on an open handle.
    return saysIteratorIsOpen(error)
  }
}

/** The message of better-sqlite3 while the host has an iterator open on the handle. Our adapter for node:sqlite uses the same. */
export const ITERATOR_IS_OPEN = 'This database connection is busy executing a query'

export function saysIteratorIsOpen (error: unknown): boolean {
  return (Object(error) as { message?: unknown }).message === ITERATOR_IS_OPEN
}

function isBetterSqlite3 (value: Partial<SqliteDatabase>): boolean {
  const { open, inTransaction, pragma, exec } = value
  if (open !== true || typeof inTransaction !== 'boolean') return false
  if (typeof pragma !== 'function' || typeof exec !== 'function') return false
  const statement = refusePromise((value as SqliteDatabase).prepare(PROBE)).safeIntegers(false)
  const row = refusePromise(statement.raw(true).get())
  return Array.isArray(row) && Number.isInteger(row[0]) && Number.isInteger(refusePromise(statement.pluck(true).get()))
}

function isNodeSqlite (value: Partial<NodeSqliteDatabase>): boolean {
  const { isOpen, isTransaction, exec } = value
  if (isOpen !== true || typeof isTransaction !== 'boolean' || typeof exec !== 'function') return false
  const statement = refusePromise((value as NodeSqliteDatabase).prepare(PROBE))
  statement.setReadBigInts(false)
  statement.setReturnArrays(true)
  const row = refusePromise(statement.get())
  return Array.isArray(row) && Number.isInteger(row[0]) && readsWholeTexts(process.getBuiltinModule('node:sqlite'))
}

/** Some versions of Node.js read a text only up to U+0000. The host's handle may be locked, so this opens another. */
export function readsWholeTexts (sqlite: unknown): boolean {
  const { DatabaseSync } = sqlite as { DatabaseSync: new (file: string) => NodeSqliteDatabase & { close: () => void } }
  const database = new DatabaseSync(':memory:')
  const { text } = database.prepare("SELECT 'a' || char(0) || 'b' AS text").get() as { text: string }
  database.close()
  return text === 'a\0b'
}

function refusePromise<Answer> (answer: Answer): Answer {
  if (!isPromise(answer)) return answer
  // It may reject, which must not end the process.
  answer.catch(() => undefined)
  throw new TypeError('A promise')
}
