// The exported types of our tables fit the schema and the values that the drivers return.

import Database from 'better-sqlite3'
import fastify from 'fastify'
import { Kysely, PostgresDialect, SqliteDialect, type Insertable } from 'kysely'
import { resolve } from 'node:path'
import type { Pool } from 'pg'
import type { Test } from 'tap'
import ts from 'typescript'
import omnichannelContacts, { type PostgresTables, type SqliteTables } from '../../src/index.js'
import t, { dialectOf, engineOf, openDatabase, postgres } from '../helpers/engines.js'

type RequiredKeys<Row> = { [Key in keyof Row]-?: object extends Pick<Row, Key> ? never : Key }[keyof Row]
type Smallest<Tables> = { [Table in keyof Tables]: Pick<Insertable<Tables[Table]>, RequiredKeys<Insertable<Tables[Table]>>> }

/** The smallest row of each table. Each comes after the rows that it references. */
const smallest: Smallest<SqliteTables> & Smallest<PostgresTables> = {
  omnichannel_user: { id: 'ann' },
  omnichannel_user_role: { user_id: 'ann', role: 'livechat-agent' },
  omnichannel_role_permission: { role: 'desk', permission: 'update-livechat-contact' },
  omnichannel_auth_token: { hashed_token: 'x', user_id: 'ann' },
  omnichannel_custom_field: { id: 'plan' },
  omnichannel_contact: { id: 'maria', name: 'Maria' },
  omnichannel_contact_email: { contact_id: 'maria', position: 0, address: 'maria@example.com' },
  omnichannel_contact_phone: { contact_id: 'maria', position: 0, phone_number: '+49 30 1' },
  omnichannel_contact_channel: { contact_id: 'maria', position: 0, name: 'Site', visitor_id: 'v', source_type: 'widget' },
  omnichannel_room: { id: 'room', contact_id: 'maria' },
  omnichannel_subscription: { id: 'sub', visitor_id: 'v' },
  omnichannel_inquiry: { id: 'inq', visitor_id: 'v' },
  omnichannel_statistic: { name: 'x' },
  omnichannel_idempotency_key: { user_id: 'ann', key: 'k', fingerprint: 'f', contact_id: 'maria', version: 1, answer: '{}' },
  omnichannel_migration: { id: 99 }
}

type Columns = Record<string, [type: string, isOptional: boolean]>

/** For each engine and table: the type that is read from a column, and whether an insert may leave it out, as TypeScript sees it. */
function readTypes (): Record<string, Record<string, Columns>> {
  const file = resolve('probe.ts')
  const text = `import type { Insertable, Selectable } from 'kysely'
    import type * as tables from './src/store/tables.js'
    type ReadAndInsert<Tables> = { [Table in keyof Tables]: { read: Selectable<Tables[Table]>, insert: Insertable<Tables[Table]> } }
    export declare const sqlite: ReadAndInsert<tables.SqliteTables>
    export declare const postgres: ReadAndInsert<tables.PostgresTables>`
  const options: ts.CompilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true, types: [] }
  const host = ts.createCompilerHost(options)
  const program = ts.createProgram([file], options, {
    ...host,
    getSourceFile: (path, target) => path === file ? ts.createSourceFile(path, text, target) : host.getSourceFile(path, target)
  })
  const checker = program.getTypeChecker()
  const propertiesOf = (type: ts.Type): Array<[name: string, type: ts.Type, symbol: ts.Symbol]> =>
    checker.getPropertiesOfType(type).map((property) => [property.name, checker.getTypeOfSymbol(property), property])
  const nameOf = (type: ts.Type): string => {
    const bare = checker.getNonNullableType(type)
    const name = checker.isTypeAssignableTo(bare, checker.getStringType()) ? 'string' : checker.typeToString(bare).replace(/^(Record<|\{).*/, 'object')
    return bare === type ? name : `${name} | null`
  }
  const columnsOf = (table: ts.Type): Columns => {
    const [[, read], [, insert]] = propertiesOf(table) as unknown as [[string, ts.Type], [string, ts.Type]]
    return Object.fromEntries(propertiesOf(read).map(([column, type]) =>
      [column, [nameOf(type), (insert.getProperty(column)!.flags & ts.SymbolFlags.Optional) !== 0]]))
  }
  return Object.fromEntries(checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!).map((engine) =>
    [engine.name, Object.fromEntries(propertiesOf(checker.getTypeOfSymbol(engine)).map(([name, table]) => [name, columnsOf(table)]))]))
}

const types = readTypes()

const jsTypes: Record<string, string> = {
  TEXT: 'string', INTEGER: 'number',
  text: 'string', integer: 'number', bigint: 'string', boolean: 'boolean', 'timestamp with time zone': 'Date', json: 'object'
}

/** The query for the columns of a table. */
const selectColumns = {
  sqlite: `SELECT type, "notnull" = 0 AS nullable, dflt_value IS NOT NULL AS defaulted, name FROM pragma_table_xinfo($1)`,
  postgres: `SELECT data_type AS type, is_nullable = 'YES' AS nullable, column_default IS NOT NULL OR is_identity = 'YES' AS defaulted, column_name AS name
    FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`
}

async function open (t: Test) {
  const { database, db, close } = await openDatabase(t)
  const app = fastify()
  t.teardown(async () => {
    await app.close()
    await close()
  })
  await app.register(omnichannelContacts, { database })
  return { database, db }
}

t.test('the types of the tables: have the columns of the schema', async (t) => {
  const { db } = await open(t)
  const engine = dialectOf(t)
  t.strictSame(Object.keys(types[engine]!).sort(), Object.keys(smallest).sort())
  for (const [table, columns] of Object.entries(types[engine]!)) {
    const stored = await db.rows<{ name: string, type: string, nullable: number, defaulted: number }>(selectColumns[engine], table)
    t.strictSame(columns, Object.fromEntries(stored.map(({ name, type, nullable, defaulted }) =>
      [name, [`${jsTypes[type]}${nullable === 1 ? ' | null' : ''}`, nullable === 1 || defaulted === 1]])), table)
  }
})

t.test('the smallest row of each table: can be inserted, and is read with values of the declared types', async (t) => {
  // Kysely has no dialect for node:sqlite.
  if (engineOf(t) === 'node-sqlite') return
  const { database } = await open(t)
  const dialect = database instanceof Database ? new SqliteDialect({ database }) : new PostgresDialect({ pool: database as Pool })
  const db = new Kysely<Record<string, Record<string, unknown>>>({ dialect })
  for (const [table, row] of Object.entries(smallest)) {
    await db.insertInto(table).values(row).execute()
    const [[key, value] = []] = Object.entries(row)
    const read = await db.selectFrom(table).selectAll().where(key!, '=', value).executeTakeFirstOrThrow()
    t.match(read, row)
    const typeName = (value: unknown): string => value === null ? 'null' : value instanceof Date ? 'Date' : typeof value
    for (const [column, [type]] of Object.entries(types[dialectOf(t)]![table]!)) {
      t.ok(type.split(' | ').includes(typeName(read[column])), `${table}.${column}: ${typeName(read[column])} is ${type}`)
    }
  }
})

interface StoredContact {
  enabled: boolean
  created_at: Date
  last_chat_at: Date | null
  custom_fields: Record<string, unknown>
  conflicting_fields: Array<{ field: string, value: string }>
  value: string
}

postgres.test("a host's own Kysely on PostgreSQL: booleans, dates, JSON and counters as pg has them", async (t) => {
  const { database } = await open(t)
  const db = new Kysely<PostgresTables>({ dialect: new PostgresDialect({ pool: database as Pool }) })
  const at = new Date('2026-01-01T00:00:00.123Z')
  await db.insertInto('omnichannel_contact').values({ id: 'maria', name: 'Maria', custom_fields: '{"plan":"gold"}', created_at: at }).execute()
  await db.updateTable('omnichannel_contact').set({ enabled: false, last_chat_id: 'room', last_chat_at: at.toISOString() }).execute()
  await db.insertInto('omnichannel_statistic').values({ name: 'x', value: 7 }).execute()
  const row = await db.selectFrom('omnichannel_contact').innerJoin('omnichannel_statistic', (join) => join.onTrue())
    .select(['enabled', 'created_at', 'last_chat_at', 'custom_fields', 'conflicting_fields', 'value']).executeTakeFirstOrThrow()
  const typed: StoredContact = row
  t.strictSame(typed, { enabled: false, created_at: at, last_chat_at: at, custom_fields: { plan: 'gold' }, conflicting_fields: [], value: '7' })
  t.equal([
    // @ts-expect-error: a boolean is no number
    () => db.updateTable('omnichannel_contact').set({ enabled: 0 }),
    // @ts-expect-error: JSON is written as text
    () => db.updateTable('omnichannel_contact').set({ custom_fields: {} })
  ].length, 2, 'they do not compile')
})
