// Brings the host's schema to schema.postgres.sql. The versions are those of SQLite's migrations, so that one number says
// what a database has, whichever engine holds it; the first that PostgreSQL has is 2.

import { IncompleteSchemaError, NewerSchemaError, UnsuitableColumnError } from '../../errors.js'
import { toParameter } from './codec.js'
import { statement } from './compiler.js'
import type { PostgresClient } from './handle.js'
import { migration2 } from './migration-2.js'

const newest = 2
/** Of all nodes that start at once, one does it: the number is "omni" in ASCII. */
const lock = 0x6f6d6e69

/** Who may update contacts in a database that says nothing about it: Rocket.Chat's default. */
const permission = 'update-livechat-contact'
const defaultRoles = ['admin', 'livechat-manager', 'livechat-monitor', 'livechat-agent']

// What must be there is read off the script: a column is a line of a table's body that starts with a lower-case name.
const required = [...migration2.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+) \($(.*?)^\)/gms)].map(([, table = '', body = '']) => ({
  table,
  columns: [...body.matchAll(/^ {2}([a-z]\w*) +(\w+)/gm)].map(([, name = '', type]) => ({ name, isText: type === 'text' }))
}))
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
      refuse((await findMissing(client)).filter((name) => name.includes('.')))
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
export async function refuseMissing (client: PostgresClient): Promise<void> {
  refuse(await findMissing(client))
  await isUpToDate(client)
}

function refuse (missing: string[]): void {
  if (missing.length > 0) throw new IncompleteSchemaError(missing.join(', '))
}

/** @throws {NewerSchemaError} when a newer version of the package has been here */
async function isUpToDate (client: PostgresClient): Promise<boolean> {
  const applied = await appliedVersion(client)
  if (applied > newest) throw new NewerSchemaError(applied, newest)
  if (applied < newest || (await findMissing(client)).length > 0) return false
  const absent = await ask(client, 'SELECT name FROM unnest($1::text[]) AS wanted (name) WHERE to_regclass(name) IS NULL', indexes)
  return absent.length === 0
}

/** The tables and columns that search_path does not lead to, as a person would name them. */
async function findMissing (client: PostgresClient): Promise<string[]> {
  const present = await columnsOf(client, required.map(({ table }) => table))
  const tables = new Set([...present.keys()].map((name) => name.split('.')[0]))
  return required.flatMap(({ table, columns }) => {
    if (!tables.has(table)) return table
    return columns.flatMap(({ name, isText }) => {
      const type = present.get(`${table}.${name}`)
      if (type === undefined) return `${table}.${name}`
      if (isText && !/^(text|character|citext)/.test(type)) throw new UnsuitableColumnError(`${table}.${name}`, type, name)
      return []
    })
  })
}

/** The types of columns, by the names of table and column. */
async function columnsOf (client: PostgresClient, tables: string[]): Promise<Map<string, string>> {
  return new Map(await ask(client, `
    SELECT wanted.name || '.' || attname, format_type(atttypid, atttypmod)
    FROM unnest($1::text[]) AS wanted (name) JOIN pg_attribute ON attrelid = to_regclass(wanted.name)
    WHERE attnum > 0 AND NOT attisdropped`, tables) as Array<[string, string]>)
}

async function appliedVersion (client: PostgresClient): Promise<number> {
  if (!(await columnsOf(client, ['omnichannel_migration'])).has('omnichannel_migration.id')) return 0
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
