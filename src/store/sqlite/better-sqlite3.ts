import type { Connection } from './connection.js'
import { saysIteratorIsOpen, type SqliteDatabase, type SqliteStatement } from './handle.js'

const busyCode = /^SQLITE_(BUSY|LOCKED)/
// SQLite reports a full disk as SQLITE_FULL, and an exceeded disk quota as SQLITE_IOERR_WRITE.
const fullCode = /^SQLITE_(FULL|IOERR_WRITE)$/

export function connectBetterSqlite3 (database: SqliteDatabase): Connection {
  const prepared = new Map<string, SqliteStatement>()
  let iteratorsIgnored = false

  /** @param mode `raw` returns rows as arrays, `pluck` only their first cells. Both take half the time of rows as objects */
  function prepare (sql: string, mode?: 'raw' | 'pluck'): SqliteStatement {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      // The host may have made BigInt the default of its handle.
      statement = database.prepare(sql).safeIntegers(false)
      if (mode !== undefined) statement[mode](true)
      prepared.set(sql, statement)
    }
    return statement
  }

  const run: Connection['run'] = (sql, values = []) => (prepare(sql).run(...values) as { changes: number }).changes

  return {
    native: database,
    get inTransaction () { return database.inTransaction },
    get: (sql, values = []) => prepare(sql, 'raw').get(...values) as unknown[] | undefined,
    all: (sql, values = []) => prepare(sql, 'raw').all(...values) as unknown[][],
    column: (sql, values = []) => prepare(sql, 'pluck').all(...values),
    run,
    exec: (sql) => { database.exec(sql) },
    // While an iterator is open, better-sqlite3 itself refuses all other statements.
    begin: run,
    hasNonBlockingIterator: () => false,
    isBusy: (error) => saysIteratorIsOpen(error) || busyCode.test(String((Object(error) as { code?: unknown }).code)),
    isFull: (error) => fullCode.test(String((Object(error) as { code?: unknown }).code)),
    ignoreIterators: (ignored) => {
      // The host may have turned unsafe mode on itself, so do not turn it off unless this adapter turned it on.
      if (ignored !== iteratorsIgnored) database.unsafeMode?.(ignored)
      iteratorsIgnored = ignored
    }
  }
}
