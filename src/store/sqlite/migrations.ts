// Brings the host's database to schema.sql, one numbered migration after the other. What ran is recorded in a table of
// our own, never in user_version. Only `main` counts, whatever else is attached.

import { NewerSchemaError } from '../../errors.js'
import { defaultRoles, findMissingIn, permission, readTables, refuseMissing } from '../schema.js'
import type { SqliteDatabase } from './handle.js'
import { migration1 } from './migration-1.js'
import { migration2 } from './migration-2.js'

/** In their order from 1 on. Each may run any number of times, so that it also brings back what somebody has dropped. */
const migrations = [migration1, migration2]
const newest = migrations.length

/** @throws {NewerSchemaError} when a newer version of the package has been here */
export function isUpToDate (database: SqliteDatabase): boolean {
  const applied = appliedVersion(database)
  if (applied > newest) throw new NewerSchemaError(applied, newest)
  return applied === newest && findMissing(database).length === 0 && hasIndexesAndTriggers(database)
}

/** Runs in a transaction. */
export function bringUpToDate (database: SqliteDatabase): void {
  if (isUpToDate(database)) return
  // A table or view of the host's that lacks a column: said before anything is created around it.
  refuseMissing(findMissing(database).filter((name) => name.includes('.')))
  const applied = appliedVersion(database)
  for (const sql of migrations) database.exec(sql)
  if (applied === 0) grantDefaults(database)
  const record = database.prepare('INSERT INTO main.omnichannel_migration (id) VALUES (?)')
  for (let id = applied + 1; id <= newest; id++) record.run(id)
}

/**
 * The tables and columns that the database lacks. Where a column of the host's does not hold text, SQLite takes `" 8"` for 8,
 * and JavaScript a large id for its neighbour.
 *
 * @throws {UnsuitableColumnError}
 */
export function findMissing (database: SqliteDatabase): string[] {
  return findMissingIn(required, (table) => new Map(columnsOf(database, table)), holdsText)
}

// The declared type of an expression, such as a constant of a view, is empty: it is compared as it is.
function holdsText (type: string): boolean {
  return type === '' || /CHAR|CLOB|TEXT/i.test(type)
}

function columnsOf (database: SqliteDatabase, table: string): Array<[name: string, type: string]> {
  return database.prepare("SELECT name, type FROM pragma_table_info(?, 'main')").raw().all(table) as Array<[string, string]>
}

function appliedVersion (database: SqliteDatabase): number {
  if (columnsOf(database, 'omnichannel_migration').every(([name]) => name !== 'id')) return 0
  return Number(database.prepare('SELECT coalesce(max(id), 0) FROM main.omnichannel_migration').pluck().get())
}

function hasIndexesAndTriggers (database: SqliteDatabase): boolean {
  const present = new Set(database.prepare("SELECT name FROM main.sqlite_schema WHERE type IN ('index', 'trigger')").pluck().all())
  return indexesAndTriggers.every((name) => present.has(name))
}

/** Only the first time and only where nothing is stored, so that a restart never undoes what an administrator did. */
function grantDefaults (database: SqliteDatabase): void {
  const isOurs = database.prepare("SELECT 1 FROM main.sqlite_schema WHERE name = 'omnichannel_role_permission' AND type = 'table'").get()
  const isStored = database.prepare('SELECT 1 FROM main.omnichannel_role_permission WHERE permission = ?').get(permission)
  if (isOurs === undefined || isStored !== undefined) return
  const grant = database.prepare('INSERT INTO main.omnichannel_role_permission (role, permission) VALUES (?, ?)')
  for (const role of defaultRoles) grant.run(role, permission)
}

const script = migrations.join('\n')
const required = readTables(script)
const indexesAndTriggers = [...script.matchAll(/^CREATE (?:INDEX|TRIGGER) IF NOT EXISTS (\w+)/gm)].map(([, name = '']) => name)
