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
  unsafeMode (on?: boolean): unknown
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

/** Whether a value is such a handle, and open. */
export function isOpenDatabase (value: unknown): value is SqliteDatabase {
  if (typeof value !== 'object' || value === null) return false
  const { open, inTransaction, prepare, pragma, exec } = value as Partial<SqliteDatabase>
  return open === true && typeof inTransaction === 'boolean' &&
    [prepare, pragma, exec].every((method) => typeof method === 'function')
}
