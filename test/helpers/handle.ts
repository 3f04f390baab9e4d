// Opens SQLite for a test: with better-sqlite3, or with node:sqlite if SQLITE_HANDLE says so. Then the handle has the calls of
// better-sqlite3 that the tests use.

import Database from 'better-sqlite3'
import { openNodeSqlite } from './node-sqlite.js'

/** Which kind of handle is tested. Undefined: all that this Node.js has. */
export const handleKind = process.env.SQLITE_HANDLE

export function openHandle (file: string, options: Database.Options = {}): Database.Database {
  return handleKind === 'node:sqlite' ? openLogged(file, options) : new Database(file, options)
}

type Call = (...values: unknown[]) => unknown

interface NodeSqlite {
  exec: Call
  prepare: (sql: string) => Record<'run' | 'get' | 'all' | 'setReadBigInts', Call>
}

/** Adds the option `verbose` and `defaultSafeIntegers`. */
function openLogged (file: string, { verbose = () => undefined, ...options }: Database.Options): Database.Database {
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
      const logged = (call: Call): Call => (...values) => {
        verbose(sql)
        return call(...values)
      }
      return Object.assign(statement, { run: logged(statement.run), get: logged(statement.get), all: logged(statement.all) })
    }
  })
}
