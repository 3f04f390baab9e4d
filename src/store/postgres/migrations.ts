// Brings the host's schema to schema.postgres.sql. The versions are those of SQLite's migrations, so that one number says
// what a database has, whichever engine holds it; the first that PostgreSQL has is 2.

import { NewerSchemaError } from '../../errors.js'
import { defaultRoles, findMissingIn, permission, readTables, refuseMissing } from '../schema.js'
import { toParameter } from './codec.js'
import { statement } from './compiler.js'
import type { PostgresClient } from './handle.js'
import { migration2 } from './migration-2.js'

const newest = 2
/** Of all nodes that start at once, one does it: the number is "omni" in ASCII. */
const lock = 0x6f6d6e69

/** The tables of the schema, in an order in which references lead to what is there. */
export const tables = readTables(migration2)
const indexes = [...migration2.matchAll(/^CREATE INDEX IF NOT EXISTS (\w+)/gm)].map(([, name = '']) => name)

/**
 * Creates what is missing, one node at a time.
 *
 * @throws {NewerSchemaError} {IncompleteSchemaError} {UnsuitableColumnError}
 */
export async function bringUpToDate (client: PostgresClient, deadline: number): Promise<void> {
  if (await isUpToDate(client)) return
  const run = async (text: string): Promise<void> => { await client.query(text) }
  await run('BEGIN ISOLATION LEVEL READ COMMITTED')
  try {
    await run(`SET LOCAL statement_timeout = ${Math.ceil(Math.max(deadline - performance.now(), 1))}`)
    await run(`SELECT pg_advisory_xact_lock(${lock})`)
    if (!await isUpToDate(client)) {
      // A table or view of the host's that lacks a column: said before anything is created around it.
      refuseMissing((await findMissing(client)).filter((name) => name.includes('.')))
      const applied = await appliedVersion(client)
      await run(migration2)
      if (applied === 0) await grantDefaults(client)
      await run(`INSERT INTO omnichannel_migration (id) VALUES (${newest}) ON CONFLICT DO NOTHING`)
    }
    await run('COMMIT')
  } catch (error) {
    await Promise.allSettled([client.query('ROLLBACK')])
    throw error
  }
}

/** @throws {NewerSchemaError} {IncompleteSchemaError} {UnsuitableColumnError} */
export async function check (client: PostgresClient): Promise<void> {
  refuseMissing(await findMissing(client))
  await isUpToDate(client)
}

/** @throws {NewerSchemaError} when a newer version of the package has been here */
async function isUpToDate (client: PostgresClient): Promise<boolean> {
  const applied = await appliedVersion(client)
  if (applied > newest) throw new NewerSchemaError(applied, newest)
  if (applied < newest || (await findMissing(client)).length > 0) return false
  const absent = await ask(client, 'SELECT name FROM unnest($1::text[]) AS wanted (name) WHERE to_regclass(name) IS NULL', indexes)
  return absent.length === 0
}

/** The tables and columns that search_path does not lead to. */
async function findMissing (client: PostgresClient): Promise<string[]> {
  const present = await columnsOf(client, tables.map(({ table }) => table))
  return findMissingIn(tables, (table) => present.get(table) ?? new Map<string, string>(), (type) => /^(text|character|citext)/.test(type))
}

/** The types of columns, for each table that is there. */
async function columnsOf (client: PostgresClient, names: string[]): Promise<Map<string, Map<string, string>>> {
  const rows = await ask(client, `
    SELECT wanted.name, attname, format_type(atttypid, atttypmod)
    FROM unnest($1::text[]) AS wanted (name) JOIN pg_attribute ON attrelid = to_regclass(wanted.name)
    WHERE attnum > 0 AND NOT attisdropped`, names) as Array<[table: string, column: string, type: string]>
  const present = new Map<string, Map<string, string>>()
  for (const [table, column, type] of rows) present.set(table, (present.get(table) ?? new Map<string, string>()).set(column, type))
  return present
}

async function appliedVersion (client: PostgresClient): Promise<number> {
  const [migration] = (await columnsOf(client, ['omnichannel_migration'])).values()
  if (migration?.has('id') !== true) return 0
  const [row] = await ask(client, 'SELECT coalesce(max(id), 0) FROM omnichannel_migration')
  return row?.[0] as number
}

/** Only the first time and only where nothing is stored, so that a restart never undoes what an administrator did. */
async function grantDefaults (client: PostgresClient): Promise<void> {
  const own = await ask(client, "SELECT FROM pg_class WHERE oid = to_regclass('omnichannel_role_permission') AND relkind IN ('r', 'p')")
  if (own.length === 0) return
  await ask(client, `
    INSERT INTO omnichannel_role_permission (role, permission)
    SELECT role, '${permission}' FROM unnest($1::text[]) AS defaults (role)
    WHERE NOT EXISTS (SELECT FROM omnichannel_role_permission WHERE permission = '${permission}')`, defaultRoles)
}

/** Rows as arrays, whatever the host does to its own. */
async function ask (client: PostgresClient, text: string, list?: string[]): Promise<unknown[][]> {
  return (await client.query(statement(text)(list === undefined ? [] : [toParameter(list)]))).rows as unknown[][]
}
