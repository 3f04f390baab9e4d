// Opens files with the same SQLite library as the commands. Two libraries in one process do not see each other's locks.

import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { createFileHelpers } from '../helpers/sqlite-files.js'
import { openNodeSqlite } from '../helpers/node-sqlite.js'

const open = openNodeSqlite ?? ((file: string, options: Database.Options) => new Database(file, options))

export function openDatabase (file: string, options: Database.Options = {}): Database.Database {
  return open(file, { timeout: 5000, ...options })
}

export const { openFile, withDatabase, withDb } = createFileHelpers(openDatabase)

/** Replaces a method of all handles, until the test is over. `call` calls the original. */
export function replaceMethod (
  t: Test, name: 'exec' | 'prepare', replacement: (handle: Database.Database, sql: string, call: () => unknown) => unknown
): void {
  const handle = openFile(t, ':memory:')
  let prototype = Object.getPrototypeOf(handle) as Database.Database
  while (!Object.hasOwn(prototype, name)) prototype = Object.getPrototypeOf(prototype) as Database.Database
  const original = Reflect.get(prototype, name) as (sql: string) => unknown
  t.intercept(prototype, name, {
    value (this: Database.Database, sql: string) { return replacement(this, sql, () => original.call(this, sql)) }
  })
}
