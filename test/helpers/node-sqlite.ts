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

export const DatabaseSync = sqlite?.DatabaseSync as new (file: string, options?: object) => Handle

const open = loadNodeSqlite()

/** Why tests of node:sqlite cannot run. False if they can. */
export const skip = open !== undefined ? false : 'this Node.js has no node:sqlite that reads whole texts'

type Call = (...values: unknown[]) => unknown
interface Raw {
  prepare: (sql: string) => Statement
  isOpen: boolean
  isTransaction: boolean
}
type Statement = Record<'run' | 'get' | 'all' | 'iterate', Call> & { setReturnArrays: (enabled: boolean) => void, columns: () => unknown[] }

/** Opens a file as the commands do with node:sqlite, and adds the calls of better-sqlite3 that tests use. Undefined if they cannot. */
export const openNodeSqlite = open && ((file: string, options: Database.Options): Database.Database => {
  const handle = open(file, options) as unknown as Record<'exec' | 'close', Call> & Raw
  const [prepare, exec, close] = [handle.prepare.bind(handle), handle.exec.bind(handle), handle.close.bind(handle)]
  const run = (begin: string, end: string, undo: string, work: Call): Call => (...values) => {
    exec(begin)
    try {
      const result = work(...values)
      exec(end)
      return result
    } catch (error) {
      if (handle.isTransaction) exec(undo)
      throw error
    }
  }
  Object.defineProperty(handle, 'inTransaction', { get: () => handle.isTransaction })
  return Object.assign(handle, {
    pragma: (source: string, { simple = false } = {}): unknown => {
      const statement = prepare(`PRAGMA ${source}`)
      statement.setReturnArrays(simple)
      return simple ? (statement.get() as unknown[] | undefined)?.[0] : statement.all()
    },
    prepare: (sql: string) => extend(withCode(() => prepare(sql))),
    exec: (sql: string) => withCode(() => exec(sql)),
    // node:sqlite fails when it is closed twice.
    close: () => { if (handle.isOpen) close() },
    transaction: (work: Call) => Object.assign(run('SAVEPOINT nested', 'RELEASE nested', 'ROLLBACK TO nested; RELEASE nested', work), {
      immediate: run('BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK', work)
    })
  }) as unknown as Database.Database
})

/** Adds `raw`, `pluck` and `reader`, takes parameters in arrays, and gives rows a prototype. */
function extend (statement: Statement): Statement {
  const [run, get, all, iterate] = (['run', 'get', 'all', 'iterate'] as const).map((name) => {
    const call = statement[name].bind(statement)
    return (...values: unknown[]) => withCode(() => call(...values.flat()))
  }) as [Call, Call, Call, Call]
  let isPlucked = false
  const cell = (row: unknown): unknown => {
    if (typeof row !== 'object' || row === null) return row
    return Array.isArray(row) ? isPlucked ? row[0] : row : { ...row }
  }
  return Object.assign(statement, {
    run,
    get: (...values: unknown[]) => cell(get(...values)),
    all: (...values: unknown[]) => (all(...values) as unknown[]).map(cell),
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

// https://sqlite.org/rescode.html
const names: Record<number, string> = {
  5: 'BUSY', 6: 'LOCKED', 8: 'READONLY', 10: 'IOERR', 11: 'CORRUPT', 13: 'FULL', 14: 'CANTOPEN', 19: 'CONSTRAINT', 26: 'NOTADB'
}
const SQLITE_CONSTRAINT_TRIGGER = 1811

/** Names an error as better-sqlite3 does. */
function withCode<Result> (work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    const { errcode } = error as { errcode?: number }
    if (errcode === undefined) throw error
    const name = errcode === SQLITE_CONSTRAINT_TRIGGER ? 'CONSTRAINT_TRIGGER' : names[errcode & 0xff] ?? 'ERROR'
    throw Object.assign(error as Error, { code: `SQLITE_${name}` })
  }
}
