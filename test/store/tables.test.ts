// The exported types of the plugin's tables fit the schema and the values that the drivers return.

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
/** For each table a row with the columns that an insert needs, and no other. */
type SmallestRows<Tables> = { [Table in keyof Tables]: Pick<Insertable<Tables[Table]>, RequiredKeys<Insertable<Tables[Table]>>> }

/** Each row comes after the rows that it references. */
const smallestRows: SmallestRows<SqliteTables> & SmallestRows<PostgresTables> = {
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

/** The type that is read from a column, and whether an insert may leave it out. */
type Columns = Record<string, [type: string, isOptional: boolean]>

/** The columns of each table of each engine, as TypeScript sees the exported types. */
function readTypes (): Record<string, Record<string, Columns>> {
  // TypeScript compiles this module, which exists in memory only.
  const file = resolve('types-of-tables.ts')
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
  const propertiesOf = (type: ts.Type): Array<[name: string, type: ts.Type]> =>
    checker.getPropertiesOfType(type).map((property) => [property.name, checker.getTypeOfSymbol(property)])
  const nameOf = (type: ts.Type): string => {
    const withoutNull = checker.getNonNullableType(type)
    const name = checker.isTypeAssignableTo(withoutNull, checker.getStringType())
      ? 'string'
      : checker.typeToString(withoutNull).replace(/^(Record<|\{).*/, 'object')
    return withoutNull === type ? name : `${name} | null`
  }
  const columnsOf = (table: ts.Type): Columns => {
    const { read, insert } = Object.fromEntries(propertiesOf(table)) as Record<'read' | 'insert', ts.Type>
    const isOptional = (column: string): boolean => (insert.getProperty(column)!.flags & ts.SymbolFlags.Optional) !== 0
    return Object.fromEntries(propertiesOf(read).map(([column, type]) => [column, [nameOf(type), isOptional(column)]]))
  }
  const tablesOf = (engine: ts.Symbol): Record<string, Columns> =>
    Object.fromEntries(propertiesOf(checker.getTypeOfSymbol(engine)).map(([name, table]) => [name, columnsOf(table)]))
  const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
  return Object.fromEntries(checker.getExportsOfModule(module).map((engine) => [engine.name, tablesOf(engine)]))
}

const types = readTypes()

/** The types of both engines, and the types of the values that the drivers return. */
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
  t.strictSame(Object.keys(types[engine]!).sort(), Object.keys(smallestRows).sort())
  for (const [table, columns] of Object.entries(types[engine]!)) {
    const inSchema = await db.rows<{ name: string, type: string, nullable: number, defaulted: number }>(selectColumns[engine], table)
    const expected = inSchema.map(({ name, type, nullable, defaulted }) =>
      [name, [`${jsTypes[type]}${nullable === 1 ? ' | null' : ''}`, nullable === 1 || defaulted === 1]] as const)
    t.strictSame(columns, Object.fromEntries(expected), table)
  }
})

t.test('the smallest row of each table: can be inserted, and is read with values of the declared types', async (t) => {
  // Kysely has no dialect for node:sqlite.
  if (engineOf(t) === 'node-sqlite') return
  const { database } = await open(t)
  const dialect = database instanceof Database ? new SqliteDialect({ database }) : new PostgresDialect({ pool: database as Pool })
  const db = new Kysely<Record<string, Record<string, unknown>>>({ dialect })
  const typeOf = (value: unknown): string => value === null ? 'null' : value instanceof Date ? 'Date' : typeof value
  for (const [table, row] of Object.entries(smallestRows)) {
    await db.insertInto(table).values(row).execute()
    const [[firstColumn, value] = []] = Object.entries(row)
    const read = await db.selectFrom(table).selectAll().where(firstColumn!, '=', value).executeTakeFirstOrThrow()
    t.match(read, row)
    for (const [column, [declaredType]] of Object.entries(types[dialectOf(t)]![table]!)) {
      const type = typeOf(read[column])
      t.ok(declaredType.split(' | ').includes(type), `${table}.${column}: ${type} is ${declaredType}`)
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
  // The annotation checks the types of the columns.
  const row: StoredContact = await db.selectFrom('omnichannel_contact').innerJoin('omnichannel_statistic', (join) => join.onTrue())
    .select(['enabled', 'created_at', 'last_chat_at', 'custom_fields', 'conflicting_fields', 'value']).executeTakeFirstOrThrow()
  t.strictSame(row, { enabled: false, created_at: at, last_chat_at: at, custom_fields: { plan: 'gold' }, conflicting_fields: [], value: '7' })
  t.equal([
    // @ts-expect-error: a boolean is no number
    () => db.updateTable('omnichannel_contact').set({ enabled: 0 }),
    // @ts-expect-error: JSON is written as text
    () => db.updateTable('omnichannel_contact').set({ custom_fields: {} })
  ].length, 2, 'values of other types do not compile')
})
