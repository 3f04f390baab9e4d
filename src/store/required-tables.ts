// Finds the tables and columns that a database lacks, and makes the SQL that adds them. Both engines use it.

import { IncompleteSchemaError, NewerSchemaError, UnsuitableColumnError } from '../errors.js'
import { UPDATE_PERMISSION as permission } from './queries.js'

/** The migrations of an engine. scripts/generate-migrations.ts makes it from the SQL files. */
export interface Schema {
  /** The number of the newest migration. */
  version: number
  /** The prefix of table names. */
  prefix: '' | 'main.'
  /** The columns of each table with their types, after the newest migration. */
  tables: Record<string, Record<string, string>>
  parts: Part[]
}

/** A paragraph of a migration file. It runs as a whole. */
export interface Part {
  migration: number
  sql: string
  /** The table, column (`table.column`), index or trigger that it creates. Absent if a later part creates it again. */
  creates?: string
  /** The table of the column, index or trigger. */
  table?: string
}

/** What a database has already. */
export interface FoundSchema {
  /** The newest migration that is recorded; 0 for none. */
  version: number
  /**
   * The kind of each table, view, column (`table.column`), index and trigger. A table that can be altered has
   * the kind `table`, a column that holds text has `text`.
   */
  kinds: ReadonlyMap<string, string>
}

/** The changes that a database still needs. */
export interface Pending extends Pick<FoundSchema, 'version'> {
  /** The SQL that is still to run, in one transaction. Empty when the database is up to date. */
  script: string
}

/** The roles that may update contacts in a new database: Rocket.Chat's defaults. */
const defaultRoles = ['admin', 'livechat-manager', 'livechat-monitor', 'livechat-agent']

/**
 * Finds what is still to do: pending migrations, and parts of earlier migrations that were dropped. Throws the errors of
 * {@link checkTables} if no migration can complete a table or view of the host's.
 */
export function pendingChanges (schema: Schema, found: FoundSchema): Pending {
  const { version, kinds } = found
  // A missing table will be created.
  const isTable = (name: string): boolean => (kinds.get(name) ?? 'table') === 'table'
  const parts = schema.parts.filter(({ migration, creates, table }) => {
    // A view of the host's can have no index and none of our triggers.
    if (table !== undefined && !isTable(table)) return false
    // The part adds a column. ALTER TABLE fails if the column exists.
    if (creates?.includes('.') === true) return !kinds.has(creates)
    return migration > version || (creates !== undefined && !kinds.has(creates))
  })
  checkTables(schema, found, new Set(parts.map(({ creates }) => creates)))

  const texts = parts.map(({ sql }) => sql)
  const pendingMigrations = [...new Set(schema.parts.map(({ migration }) => migration))].filter((migration) => migration > version)
  // Only for a new database, so that a restart does not undo what an administrator has changed.
  if (version === 0 && isTable('omnichannel_role_permission')) texts.push(grantDefaults(schema.prefix))
  if (pendingMigrations.length > 0) {
    texts.push(`INSERT INTO ${schema.prefix}omnichannel_migration (id) VALUES (${pendingMigrations.join('), (')}) ON CONFLICT DO NOTHING;`)
  }
  return { version, script: texts.join('\n\n') }
}

function grantDefaults (prefix: string): string {
  return `INSERT INTO ${prefix}omnichannel_role_permission (role, permission)
SELECT role, '${permission}' FROM (${defaultRoles.map((role) => `SELECT '${role}' AS role`).join(' UNION ALL ')}) AS defaults
WHERE NOT EXISTS (SELECT 1 FROM ${prefix}omnichannel_role_permission WHERE permission = '${permission}');`
}

/**
 * Refuses a database that lacks a table or column.
 *
 * @param added what pending migrations will add; it may be missing now
 * @throws {NewerSchemaError} if a newer version of the package has migrated the database
 * @throws {IncompleteSchemaError} if something is missing
 * @throws {UnsuitableColumnError} if a column that must hold text does not, because one id could then be taken for another
 */
export function checkTables (schema: Schema, { version, kinds }: FoundSchema, added: ReadonlySet<string | undefined> = new Set()): void {
  if (version > schema.version) throw new NewerSchemaError(version, schema.version)
  const missing: string[] = []
  for (const [table, columns] of Object.entries(schema.tables)) {
    if (!kinds.has(table)) {
      missing.push(table)
      continue
    }
    for (const [name, type] of Object.entries(columns)) {
      const column = `${table}.${name}`
      const kind = kinds.get(column)
      if (kind === undefined) missing.push(column)
      else if (/^text$/i.test(type) && kind !== 'text') throw new UnsuitableColumnError(column, kind, name)
    }
  }
  const names = missing.filter((name) => !added.has(name))
  if (names.length > 0) throw new IncompleteSchemaError(names.join(', '))
}
