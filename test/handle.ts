// Opens SQLite for a test: with better-sqlite3, or with node:sqlite if SQLITE_HANDLE says so. Then the handle has the calls of
// better-sqlite3, as it has for the commands.

import Database from 'better-sqlite3'
import { loadNodeSqlite } from '../src/cli/node-sqlite.js'

/** Which kind of handle is tested. Undefined: all that this Node.js has. */
export const handleKind = process.env.SQLITE_HANDLE

export function openHandle (file: string, options: Database.Options = {}): Database.Database {
  return handleKind === 'node:sqlite' ? openNodeSqlite(file, options) : new Database(file, options)
}

function openNodeSqlite (file: string, { verbose, ...options }: Database.Options): Database.Database {
  const open = loadNodeSqlite()
  if (open === undefined) throw new Error('This Node.js has no node:sqlite that reads whole texts')
  const database = open(file, { timeout: 5000, ...options })
  closeOnce(database as unknown as Closable)
  if (verbose !== undefined) logStatements(database, verbose)
  return database
}

interface Closable {
  isOpen: boolean
  close: () => void
}

/** node:sqlite fails when it is closed twice. */
function closeOnce (database: Closable): void {
  const close = database.close.bind(database)
  database.close = () => { if (database.isOpen) close() }
}

/** Does what the option `verbose` of better-sqlite3 does. */
function logStatements (database: Database.Database, verbose: (sql: string) => void): void {
  const [prepare, exec] = [database.prepare.bind(database), database.exec.bind(database)]
  database.exec = (sql) => {
    verbose(sql)
    return exec(sql)
  }
  database.prepare = ((sql: string) => {
    const statement = prepare(sql)
    for (const name of ['run', 'get', 'all'] as const) {
      const call = statement[name].bind(statement) as (...values: unknown[]) => never
      statement[name] = (...values: unknown[]) => {
        verbose(sql)
        return call(...values)
      }
    }
    return statement
  }) as typeof database.prepare
}
