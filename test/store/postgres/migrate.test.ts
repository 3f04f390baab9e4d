// What migrations do on PostgreSQL only: several nodes start together, and the host has tables, views and types of its own.

import { readFileSync } from 'node:fs'
import fastify from 'fastify'
import pg from 'pg'
import type { Test } from 'tap'
import omnichannelContacts, { hashToken, type OmnichannelContactsOptions } from '../../../src/index.js'
import { as, build, fill, path } from '../../helpers/test-server.js'
import type { Db } from '../../helpers/database.js'
import { postgres as t } from '../../helpers/engines.js'
import { openSchema, schemaOf } from '../../helpers/postgres.js'

/** The SQL of a database of schema version 2, the first for PostgreSQL. */
const version2 = readFileSync('src/store/migrations/postgres/000002.sql', 'utf8')
const permission = 'update-livechat-contact'

async function open (t: Test) {
  const opened = await openSchema()
  t.teardown(opened.close)
  return opened
}

async function register (database: pg.Pool, options: Partial<OmnichannelContactsOptions> = {}) {
  const app = fastify()
  await app.register(omnichannelContacts, { ...options, database })
  return app
}

/** The tables that a file of SQL creates, with the comments before them and their columns. */
function tablesIn (file: string): Record<string, { comment: string, columns: string[] }> {
  const tables = readFileSync(file, 'utf8').matchAll(/((?:^-- [^\n]*\n)+)CREATE TABLE IF NOT EXISTS (\w+) \(\n(.*?)^\)/gms)
  return Object.fromEntries([...tables].map(([, comment, table, body]) => [table!, {
    comment: comment!.replace(/\s*--\s*/g, ' ').trim(),
    // A column is a line that begins with a lower-case name.
    columns: [...body!.matchAll(/^ {2}([a-z]\w*) +/gm)].map(([, column]) => column!)
  }]))
}

t.test('schema.sql and schema.postgres.sql: have the same tables, columns and comments', async (t) => {
  const [sqlite, postgres] = [tablesIn('schema.sql'), tablesIn('schema.postgres.sql')]
  t.equal(Object.keys(sqlite).length, 15)
  t.strictSame(Object.keys(postgres), Object.keys(sqlite))
  // The order of custom fields, for which SQLite has the rowid.
  t.equal(postgres.omnichannel_custom_field!.columns.pop(), 'position')
  for (const [table, { comment, columns }] of Object.entries(sqlite)) {
    t.strictSame(postgres[table]!.columns, columns, table)
    t.ok(postgres[table]!.comment.startsWith(comment), table)
  }
})

/** Registers the plugin, and adds a contact, and a token for each user. `statusOf` updates the contact as a user. */
async function startWithMaria (database: pg.Pool, db: Db, users: string[]) {
  const app = await register(database)
  await db.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  for (const user of users) {
    await db.exec('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES ($1, $2)', hashToken(`token-of-${user}`), user)
  }
  return {
    statusOf: async (user: string, change: object): Promise<number> =>
      (await app.inject({ method: 'POST', url: path, headers: as(user), payload: { contactId: 'maria', ...change } })).statusCode
  }
}

t.test('a migration that waits too long for a lock: rolled back', async (t) => {
  const { database, db } = await open(t)
  await db.exec(version2)
  const before = await schemaOf(db)
  await db.exec('BEGIN; LOCK TABLE omnichannel_contact IN ACCESS SHARE MODE')
  await t.rejects(register(database, { lockTimeout: 100 }), { code: 'FOC_DATABASE_BUSY' })
  await db.exec('ROLLBACK')
  t.strictSame(await schemaOf(db), before)
})

t.test('a migration that takes longer than lockTimeout and timeouts of the host, and waits for no lock: made', async (t) => {
  const { database, db, close } = await openSchema({ defaults: '-c statement_timeout=300 -c transaction_timeout=300' })
  t.teardown(close)
  const schema = await db.value('SELECT current_schema()')
  await db.exec(version2)
  await db.exec(`CREATE FUNCTION slow_down() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
      IF current_schema() = '${schema}' THEN PERFORM pg_sleep(0.7); END IF;
    END $$;
    CREATE EVENT TRIGGER ${schema} ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION slow_down()`)
  t.teardown(async () => { await db.exec('DROP FUNCTION slow_down CASCADE') })
  await register(database, { lockTimeout: 300 })
  t.equal(await db.value('SELECT max(id) FROM omnichannel_migration'), 3)
  await t.resolves(db.rows('SELECT update_id FROM omnichannel_contact'), 'the new column is there')
})

t.test('a registration that waits too long for the table of migrations: refused', async (t) => {
  const { database, db } = await open(t)
  await register(database)
  await db.exec('BEGIN; LOCK TABLE omnichannel_migration')
  for (const migrate of [true, false]) {
    await t.rejects(register(database, { migrate, lockTimeout: 100 }), { code: 'FOC_DATABASE_BUSY' })
  }
  await db.exec('ROLLBACK')
  await register(database)
})

/** Forgets what was prepared before each transaction, as a pooler between the client and the server may do. */
class ForgetfulClient extends pg.Client {
  override query (...query: unknown[]): never {
    if (this.getTransactionStatus() === 'I') super.query('DEALLOCATE ALL').catch(() => undefined)
    return super.query(...query as [string]) as never
  }
}

t.test('prepared statements are forgotten between transactions: the tables are created, and updates are made', async (t) => {
  const { update } = await build(t, { pool: { Client: ForgetfulClient } })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).headers.etag, '"2"')
})

t.test('six nodes start at once, on an empty database or an earlier version: one of them migrates', async (t) => {
  for (const earlier of ['', version2]) {
    const { settings, db } = await open(t)
    await db.exec(earlier)
    const pools = Array.from({ length: 6 }, () => new pg.Pool(settings))
    await Promise.all(pools.map(async (pool) => { await register(pool) }))
    t.strictSame(await db.column('SELECT id FROM omnichannel_migration'), [2, 3])
    t.equal(await db.value('SELECT count(*) FROM omnichannel_role_permission'), 4)
    await Promise.all(pools.map(async (pool) => { await pool.end() }))
  }
})

const hostTablesAndViews = `
  CREATE TABLE account (key integer PRIMARY KEY, login text, full_name text, enabled boolean);
  INSERT INTO account VALUES (7, 'ann', 'Ann', true), (8, 'bob', 'Bob', false);
  CREATE TABLE conversation (number integer PRIMARY KEY, customer text, title text, changed timestamptz);
  INSERT INTO conversation VALUES (1, 'maria', 'Maria', '2026-01-01'), (2, 'other', 'Other', '2026-01-01');
  CREATE VIEW omnichannel_user AS SELECT key::text AS id, login AS username, full_name AS name, enabled AS active FROM account;
  CREATE VIEW omnichannel_user_role AS SELECT key::text AS user_id, 'livechat-agent' AS role FROM account;
  CREATE VIEW omnichannel_role_permission AS SELECT 'livechat-agent' AS role, '${permission}' AS permission;
  CREATE VIEW omnichannel_room AS SELECT number::text AS id, customer AS contact_id, title AS fname, changed AS updated_at FROM conversation;`

t.test('views over tables of the host: read, and a rename is written through them', async (t) => {
  const { database, db } = await open(t)
  await db.exec(hostTablesAndViews)
  const { statusOf } = await startWithMaria(database, db, ['7', '8'])
  const rename = { name: 'Marie' }
  t.equal(await statusOf('8', rename), 401, 'an inactive user')
  t.equal(await statusOf('07', rename), 401, 'another spelling of the id')
  t.equal(await statusOf('7', rename), 200)
  t.strictSame(await db.column('SELECT title FROM conversation ORDER BY number'), ['Marie', 'Other'])
})

t.test('tables of the host of every kind (domains, inherited, generated, partitioned, materialized, foreign): accepted', async (t) => {
  const { database, db } = await open(t)
  await db.exec(`
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
  t.teardown(async () => { await db.exec('DROP FOREIGN DATA WRAPPER nothing CASCADE') })
  const { statusOf } = await startWithMaria(database, db, ['ann', 'bob'])
  await register(database, { migrate: false })
  t.equal(await statusOf('ann', { phones: ['1'], contactManager: 'ann' }), 200)
  t.equal(await statusOf('bob', {}), 401, 'an inactive user')
})

t.test('a view or materialized view as omnichannel_contact: refused until it has the new column', async (t) => {
  for (const kind of ['VIEW', 'MATERIALIZED VIEW']) {
    const { database, db } = await open(t)
    await db.exec(version2)
    await db.exec(`ALTER TABLE omnichannel_contact RENAME TO person; CREATE ${kind} omnichannel_contact AS SELECT * FROM person`)
    const before = await schemaOf(db)
    await t.rejects(register(database), { code: 'FOC_INCOMPLETE_SCHEMA', message: /lacks omnichannel_contact\.update_id\./ })
    t.strictSame(await schemaOf(db), before, 'nothing was written')
    await db.exec(`DROP ${kind} omnichannel_contact; CREATE ${kind} omnichannel_contact AS SELECT *, NULL AS update_id FROM person`)
    await register(database)
    await register(database, { migrate: false })
    t.strictSame(await db.column('SELECT id FROM omnichannel_migration'), [2, 3])
  }
})

t.test('ids of the host that are no text: refused, and the error names the cast', async (t) => {
  for (const type of ['uuid', 'integer', 'bigint', 'name', 'text[]', 'domain_of_integer']) {
    const { database, db } = await open(t)
    await db.exec(`CREATE DOMAIN domain_of_integer AS integer; CREATE TABLE account (key ${type});
      CREATE VIEW omnichannel_user AS SELECT key AS id, ''::text AS username, ''::text AS name, true AS active FROM account`)
    const typeInPattern = type.replace(/[[\]]/g, '\\$&')
    const message = new RegExp(`omnichannel_user\\.id has the type ${typeInPattern} .*CAST\\(… AS TEXT\\) AS id`)
    for (const migrate of [true, false]) {
      await t.rejects(register(database, { migrate }), { code: /FOC_UNSUITABLE_COLUMN|FOC_INCOMPLETE_SCHEMA/, message })
    }
    t.strictSame((await db.tables()).filter((table) => table.startsWith('omnichannel_')), [], 'nothing was created')
  }
})

t.test('a search_path with an empty schema before that of the tables: these tables are used', async (t) => {
  const { settings, db } = await open(t)
  const schema = (await db.value<string>('SELECT current_schema()'))!
  await db.exec(`CREATE SCHEMA ${schema}_empty`)
  const pool = new pg.Pool(settings)
  const poolWithPath = new pg.Pool({ ...settings, options: `-c search_path=${schema}_empty,${schema}` })
  await register(pool)
  await fill(db)
  const app = await register(poolWithPath)
  const reply = await app.inject({ method: 'POST', url: path, headers: as('ann'), payload: { contactId: 'maria', name: 'Marie' } })
  t.equal(reply.statusCode, 200)
  t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Marie')
  await poolWithPath.end()
  await pool.end()
})
