// Brings the host's database to schema.sql. What ran is recorded in a table of our own, never in user_version.

import { whenFree } from './busy.js'
import type { DatabaseAccess, SqliteDatabase } from './sqlite-store.js'
import { IncompleteSchemaError, NewerSchemaError } from '../../errors.js'
import type { Settings } from '../../options.js'
import { schemaSql } from './schema-sql.js'

const version = 1

/** Who may update contacts in a database that says nothing about it: Rocket.Chat's default. */
const permission = 'update-livechat-contact'
const defaultRoles = ['admin', 'livechat-manager', 'livechat-monitor', 'livechat-agent']

/**
 * Creates what is missing of the schema, or with `migrate: false` only looks.
 *
 * @throws {NewerSchemaError} when a newer version of the package has been here
 * @throws {IncompleteSchemaError} when a table, view or column is missing and is not ours to create
 */
export async function migrate (database: SqliteDatabase, access: DatabaseAccess, settings: Settings): Promise<void> {
  const isDone = await whenFree(database, () => isUpToDate(database), settings.lockTimeout)
  if (settings.migrate && !isDone) await access.transact(() => { bringUpToDate(database) }, settings.lockTimeout)
  const missing = await whenFree(database, () => findMissing(database), settings.lockTimeout)
  if (missing.length > 0) throw new IncompleteSchemaError(missing.join(', '))
}

function isUpToDate (database: SqliteDatabase): boolean {
  const applied = appliedVersion(database)
  if (applied > version) throw new NewerSchemaError(applied, version)
  return applied === version && findMissing(database).length === 0
}

function appliedVersion (database: SqliteDatabase): number {
  if (!columnsOf(database, 'omnichannel_migration').includes('id')) return 0
  return Number(database.prepare('SELECT coalesce(max(id), 0) AS id FROM omnichannel_migration').pluck().get())
}

function bringUpToDate (database: SqliteDatabase): void {
  if (isUpToDate(database)) return
  // A table or view of the host's that lacks a column: said before anything is created around it.
  const lacking = findMissing(database).filter((name) => name.includes('.'))
  if (lacking.length > 0) throw new IncompleteSchemaError(lacking.join(', '))
  const isFirst = appliedVersion(database) === 0
  database.exec(schemaSql)
  if (isFirst) {
    grantDefaults(database)
    database.prepare('INSERT INTO omnichannel_migration (id) VALUES (?)').run(version)
  }
}

/** Only the first time and only where nothing is stored, so that a restart never undoes what an administrator did. */
function grantDefaults (database: SqliteDatabase): void {
  const isOurs = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'omnichannel_role_permission' AND type = 'table'").get()
  const isStored = database.prepare('SELECT 1 FROM omnichannel_role_permission WHERE permission = ?').get(permission)
  if (isOurs === undefined || isStored !== undefined) return
  const grant = database.prepare('INSERT INTO omnichannel_role_permission (role, permission) VALUES (?, ?)')
  for (const role of defaultRoles) grant.run(role, permission)
}

/** The tables and columns of schema.sql that the database lacks, as a person would name them. */
function findMissing (database: SqliteDatabase): string[] {
  return Object.entries(required).flatMap(([table, columns]) => {
    const present = columnsOf(database, table)
    if (present.length === 0) return table
    return columns.filter((column) => !present.includes(column)).map((column) => `${table}.${column}`)
  })
}

function columnsOf (database: SqliteDatabase, table: string): unknown[] {
  return database.prepare('SELECT name FROM pragma_table_info(?)').pluck().all(table)
}

/** Read off the script itself: a column is a line of a table's body that starts with a lower-case name. */
const required = Object.fromEntries(
  [...schemaSql.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+) \($(.*?)^\)/gms)].map(([, table, body]) =>
    [table as string, [...(body as string).matchAll(/^ {2}([a-z]\w*) /gm)].map(([, column]) => column as string)]))
