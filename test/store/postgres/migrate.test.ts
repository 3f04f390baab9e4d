// The host's schema is brought to schema.postgres.sql, by one node of however many start at once.

import { readFileSync } from 'node:fs'
import fastify from 'fastify'
import type Database from 'better-sqlite3'
import pg from 'pg'
import type { Test } from 'tap'
import omnichannelContacts, { hashToken, type OmnichannelContactsOptions } from '../../../src/index.js'
import { as, fill, path, rows } from '../../build.js'
import { postgres as t } from '../../engines.js'
import { openSchema, type PoolSettings } from '../../postgres-handle.js'

const script = readFileSync('schema.postgres.sql', 'utf8')
const permission = 'update-livechat-contact'

async function open (t: Test, settings?: PoolSettings) {
  const opened = await openSchema(settings)
  t.teardown(opened.close)
  const roles = (): unknown[] => opened.database.prepare('SELECT role FROM omnichannel_role_permission WHERE permission = ? ORDER BY 1').pluck().all(permission)
  return { ...opened, roles }
}

async function register (database: pg.Pool, options: Partial<OmnichannelContactsOptions> = {}) {
  const app = fastify()
  await app.register(omnichannelContacts, { ...options, database })
  return app
}

const defaults = ['admin', 'livechat-agent', 'livechat-manager', 'livechat-monitor']

t.test('an empty schema: all that is in schema.postgres.sql, and nothing twice', async (t) => {
  const { given, database, roles } = await open(t)
  await register(given)
  await register(given)
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'omnichannel_%' ORDER BY 1").pluck().all()
  t.strictSame(tables, [...script.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+)/gm)].map(([, name]) => name).sort())
  t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [2, 3])
  t.strictSame(roles(), defaults)
})

/** The tables of a script, with the comments before them and their columns. */
function describe (sql: string): Record<string, { comment: string, columns: string[] }> {
  const tables = sql.matchAll(/((?:^-- [^\n]*\n)+)CREATE TABLE IF NOT EXISTS (\w+) \(\n(.*?)^\)/gms)
  return Object.fromEntries([...tables].map(([, comment, table, body]) => [table!, {
    comment: comment!.replace(/\s*--\s*/g, ' ').trim(),
    columns: [...body!.matchAll(/^ {2}([a-z]\w*) +/gm)].map(([, column]) => column!)
  }]))
}

t.test('both scripts describe the same tables and columns, with the same comments on them', async (t) => {
  const [sqlite, postgres] = [describe(readFileSync('schema.sql', 'utf8')), describe(script)]
  t.equal(Object.keys(sqlite).length, 15)
  t.strictSame(Object.keys(postgres), Object.keys(sqlite))
  // What is rowid in SQLite.
  t.equal(postgres.omnichannel_custom_field!.columns.pop(), 'position')
  for (const [table, { comment, columns }] of Object.entries(sqlite)) {
    t.strictSame(postgres[table]!.columns, columns, table)
    t.ok(postgres[table]!.comment.startsWith(comment), table)
  }
})

t.test('the script alone is enough, and may run again', async (t) => {
  const { given, database, roles } = await open(t)
  database.exec(script)
  database.exec(script)
  await register(given, { migrate: false })
  t.strictSame(roles(), [], 'a check grants nothing')
  await register(given)
  t.strictSame(roles(), defaults)
})

/** All that is of ours in the schema, as the server describes it. */
function schemaOf (database: Database.Database): unknown[] {
  const schema = database.prepare<[], string>('SELECT current_schema()').pluck().get()!
  const ours = "current_schema()::regnamespace AND relname LIKE 'omnichannel_%'"
  return [
    `SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid)
      FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE relnamespace = ${ours} AND attnum > 0 ORDER BY relname, attnum`,
    `SELECT conname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid
      WHERE relnamespace = ${ours} ORDER BY 1, 2`,
    `SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON indrelid = pg_class.oid WHERE relnamespace = ${ours} ORDER BY 1`,
    `SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid WHERE relnamespace = ${ours} AND NOT tgisinternal ORDER BY 1`,
    'SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1'
  ].flatMap((sql) => JSON.parse(JSON.stringify(database.prepare(sql).all()).replaceAll(schema, 'schema')) as unknown[])
}

async function openNewest (t: Test): Promise<unknown[]> {
  const { given, database } = await open(t)
  await register(given)
  return schemaOf(database)
}

t.test('version 2 with rows comes to the newest, loses nothing, and is like a new one and like the script', async (t) => {
  for (const isRecorded of [true, false]) {
    const { given, database, roles } = await open(t)
    database.exec(readFileSync('src/store/migrations/postgres/000002.sql', 'utf8'))
    if (isRecorded) database.exec('INSERT INTO omnichannel_migration (id) VALUES (2)')
    fill(database)
    database.exec(`INSERT INTO omnichannel_role_permission VALUES ('my-role', '${permission}');
      INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer) VALUES ('ann', 'k', 'f', 'maria', 1, '{}')`)
    const before = rows(database)
    await t.rejects(register(given, { migrate: false }), {
      code: 'FOC_INCOMPLETE_SCHEMA', message: /^The database lacks omnichannel_contact\.update_id\. Register with migrate: true, run the command migrate, or /
    })
    t.strictSame(rows(database), before)
    await register(given)
    const after = rows(database)
    t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [2, 3])
    t.strictSame({ ...after, omnichannel_migration: before.omnichannel_migration }, {
      ...before, omnichannel_contact: (before.omnichannel_contact as object[]).map((contact) => ({ ...contact, update_id: null }))
    })
    t.strictSame(roles(), ['my-role'])
    t.strictSame(schemaOf(database), await openNewest(t))
  }
  const { database } = await open(t)
  database.exec(script)
  t.strictSame(schemaOf(database), await openNewest(t))
})

t.test('a migration that fails, or waits too long for a lock: nothing of it stays', async (t) => {
  const { given, database } = await open(t)
  database.exec(readFileSync('src/store/migrations/postgres/000002.sql', 'utf8'))
  const before = schemaOf(database)
  database.exec('BEGIN; SELECT FROM omnichannel_contact')
  await t.rejects(register(given, { lockTimeout: 100 }), { code: 'FOC_DATABASE_BUSY' })
  database.exec(`ROLLBACK; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_migration FOR EACH ROW EXECUTE FUNCTION refuse()`)
  await t.rejects(register(given), { message: 'no' })
  database.exec('DROP FUNCTION refuse CASCADE')
  t.strictSame(schemaOf(database), before)
  await register(given)
  t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [2, 3])
})

t.test('six nodes at once: one does it', async (t) => {
  for (const before of ['', readFileSync('src/store/migrations/postgres/000002.sql', 'utf8')]) await startTogether(t, before)
})

async function startTogether (t: Test, before: string): Promise<void> {
  const { settings, database, roles } = await open(t)
  database.exec(before)
  const pools = Array.from({ length: 6 }, () => new pg.Pool(settings))
  await Promise.all(pools.map(async (pool) => { await register(pool) }))
  t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [2, 3])
  t.strictSame(roles(), defaults)
  await Promise.all(pools.map(async (pool) => { await pool.end() }))
}

t.test('a newer version has been here: refused, with or without migrating', async (t) => {
  const { given, database } = await open(t)
  await register(given)
  database.exec('INSERT INTO omnichannel_migration (id) VALUES (4)')
  for (const migrate of [true, false]) {
    await t.rejects(register(given, { migrate }), { code: 'FOC_NEWER_SCHEMA', message: /version 4, .* knows only 3/ })
  }
})

t.test('migrate: false names what is missing, and creates nothing', async (t) => {
  const { given, database } = await open(t)
  await t.rejects(register(given, { migrate: false }), { code: 'FOC_INCOMPLETE_SCHEMA', message: /lacks omnichannel_user, omnichannel_user_role, / })
  t.strictSame(database.prepare('SELECT name FROM sqlite_schema').all(), [])
  await register(given)
  database.exec('ALTER TABLE omnichannel_contact DROP COLUMN version; DROP TABLE omnichannel_inquiry')
  for (const migrate of [true, false]) {
    await t.rejects(register(given, { migrate }), { code: 'FOC_INCOMPLETE_SCHEMA', message: /lacks omnichannel_contact\.version/ })
  }
})

t.test('what was dropped comes back, and what an administrator did stays', async (t) => {
  const { given, database, roles } = await open(t)
  await register(given)
  const before = schemaOf(database)
  database.exec("DROP INDEX omnichannel_contact_email_address; DROP FUNCTION omnichannel_forget_answers CASCADE; DROP TABLE omnichannel_room; ALTER TABLE omnichannel_contact DROP COLUMN update_id; DELETE FROM omnichannel_role_permission WHERE role <> 'admin'")
  await register(given)
  t.strictSame(database.prepare("SELECT to_regclass('omnichannel_contact_email_address')::text, to_regclass('omnichannel_room')::text").get(), {
    to_regclass: 'omnichannel_room'
  })
  t.strictSame(schemaOf(database).filter((row) => !JSON.stringify(row).includes('pg.dropped')), before)
  t.strictSame(roles(), ['admin'])
})

const hostTables = `
  CREATE TABLE account (key integer PRIMARY KEY, login text, full_name text, enabled boolean);
  INSERT INTO account VALUES (7, 'ann', 'Ann', true), (8, 'bob', 'Bob', false);
  CREATE TABLE conversation (number integer PRIMARY KEY, customer text, title text, changed timestamptz);
  INSERT INTO conversation VALUES (1, 'maria', 'Maria', '2026-01-01'), (2, 'other', 'Other', '2026-01-01');
  CREATE VIEW omnichannel_user AS SELECT key::text AS id, login AS username, full_name AS name, enabled AS active FROM account;
  CREATE VIEW omnichannel_user_role AS SELECT key::text AS user_id, 'livechat-agent' AS role FROM account;
  CREATE VIEW omnichannel_role_permission AS SELECT 'livechat-agent' AS role, '${permission}' AS permission;
  CREATE VIEW omnichannel_room AS SELECT number::text AS id, customer AS contact_id, title AS fname, changed AS updated_at FROM conversation;`

t.test("views over the host's tables: read, and renamed through", async (t) => {
  const { given, database } = await open(t)
  database.exec(hostTables)
  const app = await register(given)
  database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  const addToken = database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)')
  for (const id of ['7', '8']) addToken.run(hashToken(`token-of-${id}`), id)
  const ask = async (user: string) => (await app.inject({ method: 'POST', url: path, headers: as(user), payload: { contactId: 'maria', name: 'Marie' } })).statusCode
  t.strictSame([await ask('8'), await ask('07'), await ask('7')], [401, 401, 200])
  t.strictSame(database.prepare('SELECT title FROM conversation ORDER BY number').pluck().all(), ['Marie', 'Other'])
})

t.test("tables of the host's of every kind: read, and left alone", async (t) => {
  const { given, database } = await open(t)
  database.exec(`
    CREATE DOMAIN label AS text CHECK (VALUE <> ''); CREATE DOMAIN short_label AS label; CREATE DOMAIN flag AS boolean;
    CREATE TABLE person (id short_label PRIMARY KEY, left_at date);
    CREATE TABLE omnichannel_user (username varchar(20) GENERATED ALWAYS AS (lower(id::text)) STORED, name label DEFAULT 'x',
      active flag GENERATED ALWAYS AS (left_at IS NULL) STORED) INHERITS (person);
    INSERT INTO omnichannel_user (id, left_at) VALUES ('ann', NULL), ('bob', '2026-01-01');
    CREATE TABLE omnichannel_user_role (user_id text, role text) PARTITION BY LIST (role);
    CREATE TABLE agents PARTITION OF omnichannel_user_role FOR VALUES IN ('livechat-agent');
    INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent'), ('bob', 'livechat-agent');
    CREATE MATERIALIZED VIEW omnichannel_role_permission AS SELECT 'livechat-agent' AS role, '${permission}' AS permission;
    CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE omnichannel_inquiry (id text, room_id text, visitor_id text, name text, updated_at timestamptz) SERVER nowhere`)
  t.teardown(() => { database.exec('DROP FOREIGN DATA WRAPPER nothing CASCADE') })
  const app = await register(given)
  await register(given, { migrate: false })
  database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  const addToken = database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)')
  for (const id of ['ann', 'bob']) addToken.run(hashToken(`token-of-${id}`), id)
  const ask = async (user: string, payload: object) => (await app.inject({ method: 'POST', url: path, headers: as(user), payload: { contactId: 'maria', ...payload } })).statusCode
  t.strictSame([await ask('ann', { phones: ['1'], contactManager: 'ann' }), await ask('bob', {})], [200, 401])
})

t.test('a view, or another relation that has no rows of its own, in the place of the contact: it must have the new column', async (t) => {
  for (const kind of ['VIEW', 'MATERIALIZED VIEW']) {
    const { given, database } = await open(t)
    database.exec(readFileSync('src/store/migrations/postgres/000002.sql', 'utf8'))
    database.exec(`ALTER TABLE omnichannel_contact RENAME TO person; CREATE ${kind} omnichannel_contact AS SELECT * FROM person`)
    const before = schemaOf(database)
    await t.rejects(register(given), { code: 'FOC_INCOMPLETE_SCHEMA', message: /lacks omnichannel_contact\.update_id\./ })
    t.strictSame(schemaOf(database), before, 'nothing was written')
    database.exec(`DROP ${kind} omnichannel_contact; CREATE ${kind} omnichannel_contact AS SELECT *, NULL AS update_id FROM person`)
    await register(given)
    await register(given, { migrate: false })
    t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [2, 3])
  }
})

t.test("ids of the host's that are no text: refused, with the cast that helps", async (t) => {
  for (const type of ['uuid', 'integer', 'bigint', 'name', 'text[]', 'number']) {
    const { given, database } = await open(t)
    database.exec(`CREATE DOMAIN number AS integer; CREATE TABLE account (key ${type}); CREATE VIEW omnichannel_user AS SELECT key AS id, ''::text AS username, ''::text AS name, true AS active FROM account`)
    for (const migrate of [true, false]) {
      await t.rejects(register(given, { migrate }), { code: /FOC_UNSUITABLE_COLUMN|FOC_INCOMPLETE_SCHEMA/, message: new RegExp(`omnichannel_user\\.id has the type ${type.replace(/[[\]]/g, '\\$&')} .*CAST\\(… AS TEXT\\) AS id`) })
    }
    t.strictSame(database.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'omnichannel_%'").all(), [], 'nothing was created')
  }
})

t.test("the host's search_path says which schema it is", async (t) => {
  const { settings, database } = await open(t)
  const name = database.prepare<[], string>('SELECT current_schema()').pluck().get()!
  database.exec(`CREATE SCHEMA ${name}_b`)
  const other = new pg.Pool({ ...settings, options: `-c search_path=${name}_b,${name}` })
  const first = new pg.Pool(settings)
  await register(first)
  fill(database)
  // The second finds what is there already.
  const app = await register(other)
  const reply = await app.inject({ method: 'POST', url: path, headers: as('ann'), payload: { contactId: 'maria', name: 'Marie' } })
  t.equal(reply.statusCode, 200)
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Marie')
  await other.end()
  await first.end()
})
