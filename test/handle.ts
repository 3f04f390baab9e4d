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

interface NodeSqlite extends Record<'close' | 'exec', Call> {
  isOpen: boolean
  prepare: (sql: string) => Record<'run' | 'get' | 'all' | 'setReadBigInts', Call>
}

/** Adds the option `verbose`, `defaultSafeIntegers`, and rows that have a prototype. */
function openLogged (file: string, { verbose = () => undefined, ...options }: Database.Options): Database.Database {
  if (openNodeSqlite === undefined) throw new Error('This Node.js has no node:sqlite that reads whole texts')
  const handle = openNodeSqlite(file, { timeout: 5000, ...options })
  const database = handle as unknown as NodeSqlite
  const [prepare, exec, close] = [database.prepare.bind(database), database.exec.bind(database), database.close.bind(database)]
  let readsBigInts = false
  Object.assign(handle, {
    // node:sqlite fails when it is closed twice.
    close: () => { if (database.isOpen) close() },
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
        return call.apply(statement, values)
      }
      const [run, get, all] = [logged(statement.run), logged(statement.get), logged(statement.all)]
      const [getPlain, allPlain]: Call[] = [(...values) => plain(get(...values)), (...values) => (all(...values) as unknown[]).map(plain)]
      return Object.assign(statement, { run, get: getPlain, all: allPlain })
    }
  })
  return handle
}

function plain (row: unknown): unknown {
  return typeof row === 'object' && row !== null && Object.getPrototypeOf(row) === null ? { ...row } : row
}
