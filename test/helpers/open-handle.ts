// Opens SQLite with better-sqlite3, or with node:sqlite if SQLITE_HANDLE says so. A handle of node:sqlite gets the methods of
// better-sqlite3 that tests use, so tests are the same for both.

import Database from 'better-sqlite3'
import { openNodeSqlite } from './node-sqlite.js'

/** The only kind of handle that is tested. Undefined: every kind that this Node.js has. */
export const handleKind = process.env.SQLITE_HANDLE

export function openHandle (file: string, options: Database.Options = {}): Database.Database {
  return handleKind === 'node:sqlite' ? openWithNodeSqlite(file, options) : new Database(file, options)
}

type Method = (...values: unknown[]) => unknown

interface NodeSqlite {
  exec: Method
  prepare: (sql: string) => Record<'run' | 'get' | 'all' | 'setReadBigInts', Method>
}

/** Adds better-sqlite3's option `verbose` and its method `defaultSafeIntegers`. */
function openWithNodeSqlite (file: string, { verbose = () => undefined, ...options }: Database.Options): Database.Database {
  if (openNodeSqlite === undefined) throw new Error('This Node.js has no node:sqlite that reads whole texts')
  const handle = openNodeSqlite(file, { timeout: 5000, ...options })
  const { prepare, exec } = handle as unknown as NodeSqlite
  let readsBigInts = false
  return Object.assign(handle, {
    defaultSafeIntegers: (enabled: boolean) => { readsBigInts = enabled },
    exec: (sql: string) => {
      verbose(sql)
      exec(sql)
    },
    prepare: (sql: string) => {
      const statement = prepare(sql)
      statement.setReadBigInts(readsBigInts)
      const logged = (method: Method): Method => (...values) => {
        verbose(sql)
        return method(...values)
      }
      return Object.assign(statement, { run: logged(statement.run), get: logged(statement.get), all: logged(statement.all) })
    }
  })
}
