// Opens SQLite files for tests that need more than the database of test-server.ts.

import type Database from 'better-sqlite3'
import type { Test } from 'tap'
import type { Db } from './database.js'
import { openHandle } from './open-handle.js'
import { sqliteDb } from './sqlite.js'

type OpenHandle = (file: string, options: Database.Options) => Database.Database

/** The helpers below, for the kind of handle that `open` makes. */
export function createFileHelpers (open: OpenHandle) {
  return {
    /** Opens a file, or a database in memory, and closes it when the test ends. */
    openFile: (t: Test, file = ':memory:', options: Database.Options = {}): Database.Database => {
      const database = open(file, options)
      t.teardown(() => { database.close() })
      return database
    },
    /** Opens a file, calls `work` with its handle, and closes it. */
    withDatabase: <Result>(file: string, work: (database: Database.Database) => Result): Result => {
      const database = open(file, {})
      try {
        return work(database)
      } finally {
        database.close()
      }
    },
    /** Opens a file, calls `work` with the interface of database.ts, and closes it. */
    withDb: async <Result>(file: string, work: (db: Db) => Promise<Result>): Promise<Result> => {
      const database = open(file, {})
      try {
        return await work(sqliteDb(database))
      } finally {
        database.close()
      }
    }
  }
}

export const { openFile, withDatabase, withDb } = createFileHelpers(openHandle)
