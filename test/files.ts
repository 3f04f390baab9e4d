// Database files that a test has beside, or instead of, the world of build.ts.

import Database from 'better-sqlite3'
import type { Test } from 'tap'
import type { Db } from './database.js'
import { sqliteDb } from './sqlite.js'

/** Opens a file, or a database in memory, for as long as the test runs. */
export function openFile (t: Test, file = ':memory:', options: Database.Options = {}): Database.Database {
  const database = new Database(file, options)
  t.teardown(() => { database.close() })
  return database
}

/** Opens a file only to look at it. */
export function lookInto<Result> (file: string, look: (database: Database.Database) => Result): Result {
  const database = new Database(file)
  try {
    return look(database)
  } finally {
    database.close()
  }
}

/** The same with the interface that tests use for all engines. */
export async function inFile<Result> (file: string, work: (db: Db) => Promise<Result>): Promise<Result> {
  const database = new Database(file)
  try {
    return await work(sqliteDb(database))
  } finally {
    database.close()
  }
}
