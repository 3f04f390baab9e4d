// node:sqlite with the methods of better-sqlite3 that the commands use. So better-sqlite3 is not needed if Node.js has a suitable
// node:sqlite.

import type Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { isOpenDatabase, type NodeSqliteDatabase, type NodeSqliteStatement } from '../store/sqlite/handle.js'

interface NodeSqlite {
  DatabaseSync: new (file: string, options?: { readOnly?: boolean, timeout?: number }) => NodeSqliteDatabase & { close: () => void }
  backup: (source: object, file: string, options: { rate: number, progress: (info: Database.BackupMetadata) => void }) => Promise<unknown>
}

interface Statement extends NodeSqliteStatement {
  iterate (...values: unknown[]): Iterable<unknown>
  columns (): unknown[]
}

type Open = (file: string, options: Database.Options) => Database.Database

/** Undefined if this Node.js has no node:sqlite, or one that the plugin refuses. */
export function loadNodeSqlite (): Open | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite') as NodeSqlite | undefined
  if (sqlite === undefined) return undefined
  const probe = new sqlite.DatabaseSync(':memory:')
  const isGood = isOpenDatabase(probe)
  probe.close()
  return isGood ? createOpen(sqlite) : undefined
}

function createOpen ({ DatabaseSync, backup }: NodeSqlite): Open {
  class File extends DatabaseSync {
    get inTransaction (): boolean {
      return this.isTransaction
    }

    override prepare (sql: string): NodeSqliteStatement {
      return extend(withCode(() => super.prepare(sql)) as Statement)
    }

    override exec (sql: string): void {
      withCode(() => super.exec(sql))
    }

    pragma (source: string, { simple = false } = {}): unknown {
      const statement = this.prepare(`PRAGMA ${source}`)
      statement.setReturnArrays(simple)
      return simple ? (statement.get() as unknown[] | undefined)?.[0] : statement.all()
    }

    transaction (work: (...values: unknown[]) => unknown) {
      const run = (begin: string, end: string, undo: string) => (...values: unknown[]): unknown => {
        this.exec(begin)
        try {
          const result = work(...values)
          this.exec(end)
          return result
        } catch (error) {
          if (this.inTransaction) this.exec(undo)
          throw error
        }
      }
      const nested = run('SAVEPOINT nested', 'RELEASE nested', 'ROLLBACK TO nested; RELEASE nested')
      return Object.assign(nested, { immediate: run('BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK') })
    }

    backup (file: string, { progress }: { progress: (info: Database.BackupMetadata) => number }): Promise<unknown> {
      return backup(this, file, { rate: 1000, progress })
    }
  }
  return (file, { readonly = false, timeout = 0 }) => {
    if (!existsSync(dirname(file))) throw new TypeError('Cannot open database because the directory does not exist')
    const database = withCode(() => new File(file, { readOnly: readonly, timeout }))
    return Object.assign(database, { name: file }) as unknown as Database.Database
  }
}

/** Adds `raw`, `pluck` and `reader`, and takes parameters in arrays. */
function extend (statement: Statement): NodeSqliteStatement {
  const run = statement.run.bind(statement)
  const get = statement.get.bind(statement)
  const all = statement.all.bind(statement)
  const iterate = statement.iterate.bind(statement)
  let isPlucked = false
  const cell = (row: unknown): unknown => isPlucked && row !== undefined ? (row as unknown[])[0] : row
  return Object.assign(statement, {
    run: (...values: unknown[]) => withCode(() => run(...values.flat())),
    get: (...values: unknown[]) => cell(withCode(() => get(...values.flat()))),
    all: (...values: unknown[]) => withCode(() => all(...values.flat())).map(cell),
    iterate: (...values: unknown[]) => iterate(...values.flat()),
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
