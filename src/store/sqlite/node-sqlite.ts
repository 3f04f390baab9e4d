import { connectBetterSqlite3 } from './better-sqlite3.js'
import type { Connection } from './connection.js'
import { ITERATOR_IS_OPEN, type NodeSqliteDatabase, type NodeSqliteStatement, type SqliteHandle } from './handle.js'

// https://sqlite.org/rescode.html
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_FULL = 13
/** SQLite reports this for an exceeded disk quota too. */
const SQLITE_IOERR_WRITE = 778

/** Takes a handle of either library. It is in this file, which coverage leaves out on a Node.js without node:sqlite. */
export function connect (database: SqliteHandle): Connection {
  return 'isOpen' in database ? connectNodeSqlite(database) : connectBetterSqlite3(database)
}

function connectNodeSqlite (database: NodeSqliteDatabase): Connection {
  const prepared = new Map<string, NodeSqliteStatement>()
  let iteratorsIgnored = false

  function prepare (sql: string): NodeSqliteStatement {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      statement = database.prepare(sql)
      // The host may have chosen other defaults for its handle.
      statement.setReadBigInts(false)
      statement.setReturnArrays(true)
      prepared.set(sql, statement)
    }
    return statement
  }

  const all: Connection['all'] = (sql, values = []) => prepare(sql).all(...values) as unknown[][]
  const run: Connection['run'] = (sql, values = []) => Number(prepare(sql).run(...values).changes)

  /** VACUUM INTO NULL always fails. Its message tells whether an iterator is open. */
  function isIterating (): boolean {
    let reason = ''
    try {
      run('VACUUM INTO NULL')
    } catch (error) {
      reason = (error as Error).message
    }
    return reason.includes('SQL statements in progress')
  }

  return {
    native: database,
    get inTransaction () { return database.isOpen && database.isTransaction },
    get: (sql, values = []) => prepare(sql).get(...values) as unknown[] | undefined,
    all,
    column: (sql, values) => all(sql, values).map(([cell]) => cell),
    run,
    exec: (sql) => { database.exec(sql) },
    begin: (command) => {
      // SQLite itself would begin. But our ROLLBACK would undo an INSERT … RETURNING whose rows the host is reading.
      if (!iteratorsIgnored && isIterating()) throw Object.assign(new Error(ITERATOR_IS_OPEN), { errcode: SQLITE_BUSY })
      run(command)
    },
    hasNonBlockingIterator: isIterating,
    ignoreIterators: (ignored) => { iteratorsIgnored = ignored },
    isBusy: (error) => hasCode(error, SQLITE_BUSY) || hasCode(error, SQLITE_LOCKED),
    isFull: (error) => hasCode(error, SQLITE_FULL) || (Object(error) as { errcode?: unknown }).errcode === SQLITE_IOERR_WRITE
  }
}

/** The lowest byte of an extended result code is the code that it extends. */
function hasCode (error: unknown, code: number): boolean {
  const { errcode } = Object(error) as { errcode?: unknown }
  return (Number(errcode) & 0xff) === code
}
