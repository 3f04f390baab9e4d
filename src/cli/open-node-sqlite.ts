// Opens files with node:sqlite. better-sqlite3 is only needed if this Node.js has no suitable node:sqlite.

import type Database from 'better-sqlite3'
import type { SqliteDatabase } from 'kysely'
import { readsWholeTexts, type NodeSqliteDatabase, type NodeSqliteStatement } from '../store/sqlite/handle.js'
import { pagesPerBackupStep, type FileHandle } from './shared.js'

interface NodeSqlite {
  DatabaseSync: new (file: string, options?: { readOnly?: boolean, timeout?: number }) => NodeSqliteDatabase & { close: () => void }
  backup: (source: object, file: string, options: { rate: number, progress: (info: Database.BackupMetadata) => void }) => Promise<unknown>
}

export type OpenFile = (file: string, options: Database.Options) => FileHandle

/** Undefined if this Node.js has no node:sqlite, or one that the plugin refuses. */
export function loadNodeSqlite (): OpenFile | undefined {
  const sqlite = loadQuietly()
  if (sqlite === undefined || !readsWholeTexts(sqlite)) return undefined

  return (file, { readonly: readOnly = false, timeout = 0 }) => {
    const database = new sqlite.DatabaseSync(file, { readOnly, timeout })
    const backup: FileHandle['backup'] = (copy, { progress }) => sqlite.backup(database, copy, { rate: pagesPerBackupStep, progress })
    return Object.assign(database, { name: file, backup })
  }
}

/** Suppresses the warning of Node.js 22 that node:sqlite is experimental: that version is not used anyway. */
function loadQuietly (): NodeSqlite | undefined {
  const emitWarning: unknown = Reflect.get(process, 'emitWarning')
  Object.assign(process, { emitWarning: () => undefined })
  try {
    return process.getBuiltinModule('node:sqlite') as NodeSqlite | undefined
  } finally {
    Object.assign(process, { emitWarning })
  }
}

type Statement = NodeSqliteStatement & { columns: () => unknown[], iterate: (...values: unknown[]) => IterableIterator<unknown> }

/** Gives a handle of node:sqlite the form of better-sqlite3's, which Kysely expects. */
export function toKyselyDatabase (handle: FileHandle): SqliteDatabase {
  if (!('isOpen' in handle)) return handle as Database.Database
  return {
    close: () => undefined,
    prepare: (sql) => {
      const statement = handle.prepare(sql) as Statement
      return {
        reader: statement.columns().length > 0,
        all: (values) => statement.all(...values),
        run: (values) => statement.run(...values) as { changes: number, lastInsertRowid: number },
        iterate: (values) => statement.iterate(...values)
      }
    }
  }
}
