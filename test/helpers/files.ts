// Opens database files for tests that need more than the database of build.ts.

import type Database from 'better-sqlite3'
import type { Test } from 'tap'
import type { Db } from './database.js'
import { openHandle } from './handle.js'
import { sqliteDb } from './sqlite.js'

type Open = (file: string, options: Database.Options) => Database.Database

/** Helpers that open files with `open`. */
export function filesOf (open: Open) {
  return {
    /** Opens a file, or a database in memory, for as long as the test runs. */
    openFile: (t: Test, file = ':memory:', options: Database.Options = {}): Database.Database => {
      const database = open(file, options)
      t.teardown(() => { database.close() })
      return database
    },
    /** Opens a file only to look at it. */
    lookInto: <Result>(file: string, look: (database: Database.Database) => Result): Result => {
      const database = open(file, {})
      try {
        return look(database)
      } finally {
        database.close()
      }
    },
    /** The same with the interface that tests use for all engines. */
    inFile: async <Result>(file: string, work: (db: Db) => Promise<Result>): Promise<Result> => {
      const database = open(file, {})
      try {
        return await work(sqliteDb(database))
      } finally {
        database.close()
      }
    }
  }
}

export const { openFile, lookInto, inFile } = filesOf(openHandle)
