// The interface of database.ts for a SQLite handle.

import { createDb, type Db, type Opened, type Row } from './database.js'

/** What the handles of better-sqlite3 and node:sqlite have in common. Each has one of `inTransaction` and `isTransaction`. */
interface Handle {
  prepare: (sql: string) => { all: (...parameters: object[]) => unknown[], run: (...parameters: object[]) => unknown, reader?: boolean }
  exec: (sql: string) => unknown
  close: () => unknown
  inTransaction?: boolean
  isTransaction?: boolean
}

export function sqliteDb (handle: Handle): Db {
  return createDb({
    query: async (sql, values) => {
      const statement = handle.prepare(sql)
      // To SQLite, $1 is a parameter with the name 1.
      const named = values.map((value, index) => [index + 1, typeof value === 'boolean' ? Number(value) : value] as const)
      const parameters = values.length === 0 ? [] : [Object.fromEntries(named)]
      // better-sqlite3 has no rows for a statement that only writes.
      if (statement.reader !== false) return (statement.all(...parameters) as Row[]).map((row) => ({ ...row }))
      statement.run(...parameters)
      return []
    },
    exec: async (sql) => { handle.exec(sql) },
    insertionOrder: 'rowid',
    listTables: "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1",
    createTrigger: (table, message, when) => `CREATE TRIGGER refuse_${table} BEFORE UPDATE ON ${table}
      ${when === undefined ? '' : `WHEN ${when}`} BEGIN SELECT RAISE(ABORT, '${message}'); END`,
    dropTrigger: (table) => `DROP TRIGGER refuse_${table}`
  })
}

/** The interface for a handle that is open already. Its `close` closes the handle. */
export function openSqlite<T extends Handle & Opened['database']> (handle: T): Opened & { database: T } {
  const db = sqliteDb(handle)
  const readBusyTimeout = (): unknown => Object.values(handle.prepare('PRAGMA busy_timeout').all()[0] as Row)[0]
  const initialBusyTimeout = readBusyTimeout()
  return {
    db,
    database: handle,
    leftovers: async () => {
      const inTransaction = handle.inTransaction ?? handle.isTransaction
      const busyTimeout = readBusyTimeout()
      return { ...inTransaction === true && { inTransaction }, ...busyTimeout !== initialBusyTimeout && { busyTimeout } }
    },
    close: async () => { handle.close() }
  }
}
