// Migrations bring the host's database to the schema of schema.sql or schema.postgres.sql.

import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { allRows, fill } from '../helpers/build.js'
import type { Db } from '../helpers/database.js'
import t, { dialectOf, openDatabase } from '../helpers/engines.js'
import { schemaOf as schemaOfPostgres } from '../helpers/postgres.js'
import { incompleteSchema, rejectionOf } from '../helpers/registration.js'

const defaultRoles = ['admin', 'livechat-agent', 'livechat-manager', 'livechat-monitor']
const answer = "INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer) VALUES ('ann', 'k', 'f', 'maria', 1, '{}')"

const scriptOf = (t: Test): string => readFileSync(dialectOf(t) === 'sqlite' ? 'schema.sql' : 'schema.postgres.sql', 'utf8')
/** PostgreSQL is supported since version 2. */
const versionsOf = (t: Test): number[] => dialectOf(t) === 'sqlite' ? [1, 2, 3] : [2, 3]

/** An empty database, or one as an earlier version of the package left it. */
async function open (t: Test, version = 0, isRecorded = true) {
  const { database, db, close } = await openDatabase(t)
  t.teardown(close)
  for (const id of versionsOf(t).filter((id) => id <= version)) {
    await db.exec(readFileSync(`src/store/migrations/${dialectOf(t)}/00000${id}.sql`, 'utf8'))
    if (isRecorded) await db.exec('INSERT INTO omnichannel_migration (id) VALUES ($1)', id)
  }
  return {
    db,
    start: async (options: { migrate?: boolean } = {}) => await rejectionOf({ database, ...options }),
    roles: async () => await db.column("SELECT role FROM omnichannel_role_permission WHERE permission = 'update-livechat-contact' ORDER BY 1"),
    recorded: async () => await db.column('SELECT id FROM omnichannel_migration ORDER BY 1')
  }
}

/** Without comments, layout and the places of dropped columns. */
async function schemaOf (t: Test, db: Db): Promise<unknown[]> {
  if (dialectOf(t) === 'postgres') return (await schemaOfPostgres(db)).filter((row) => !JSON.stringify(row).includes('pg.dropped'))
  const rows = await db.rows<{ name: string, sql: string | null }>('SELECT name, sql FROM sqlite_schema ORDER BY name')
  return rows.map(({ name, sql }) => [name, sql?.replace(/--.*$/gm, '').replace(/\s+/g, ' ')])
}

async function newestSchema (t: Test): Promise<unknown[]> {
  const { db } = await open(t)
  await db.exec(scriptOf(t))
  return await schemaOf(t, db)
}

t.test('an empty database: gets the schema of the script and the default roles, once', async (t) => {
  const { db, start, roles, recorded } = await open(t)
  for (let time = 0; time < 2; time++) t.equal(await start(), undefined)
  t.strictSame(await schemaOf(t, db), await newestSchema(t))
  t.strictSame([await roles(), await recorded()], [defaultRoles, versionsOf(t)])
  for (const time of await db.column('SELECT applied_at FROM omnichannel_migration')) t.match(time, /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/)
})

t.test('the script alone: is enough, and may run twice', async (t) => {
  const { db, start, roles, recorded } = await open(t)
  for (let time = 0; time < 2; time++) await db.exec(scriptOf(t))
  t.equal(await start({ migrate: false }), undefined)
  t.strictSame([await roles(), await recorded()], [[], []], 'a check writes nothing')
  t.equal(await start(), undefined)
  t.strictSame(await roles(), defaultRoles)
})

t.test('a database of an earlier version: upgraded, and keeps its rows', async (t) => {
  for (const version of versionsOf(t).slice(0, -1)) {
    for (const isRecorded of [true, false]) {
      const { db, start, roles, recorded } = await open(t, version, isRecorded)
      await db.exec("INSERT INTO omnichannel_role_permission VALUES ('my-role', 'update-livechat-contact')")
      await fill(db)
      if (version === 2) await db.exec(answer)
      const before = await allRows(db)
      const missing = ['omnichannel_contact.update_id', ...version === 1 ? ['omnichannel_idempotency_key'] : []]
      t.strictSame(await start({ migrate: false }), incompleteSchema(missing.join(', ')))
      t.strictSame(await allRows(db), before)

      t.equal(await start(), undefined)
      t.strictSame([await roles(), await recorded()], [['my-role'], versionsOf(t)])
      t.strictSame({ ...await allRows(db), omnichannel_migration: before.omnichannel_migration }, {
        omnichannel_idempotency_key: [],
        ...before,
        omnichannel_contact: before.omnichannel_contact!.map((contact) => ({ ...contact, update_id: null }))
      })
      t.strictSame(await schemaOf(t, db), await newestSchema(t))
    }
  }
})

t.test('a migration that fails: rolled back', async (t) => {
  const { db, start, recorded } = await open(t, 2)
  const before = await schemaOf(t, db)
  const [refuse, allow] = dialectOf(t) === 'sqlite'
    ? ["CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_migration BEGIN SELECT RAISE(ABORT, 'no'); END", 'DROP TRIGGER refuse']
    : [`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_migration FOR EACH ROW EXECUTE FUNCTION refuse()`, 'DROP FUNCTION refuse CASCADE']
  await db.exec(refuse)
  t.match(await start(), { message: 'no' })
  await db.exec(allow)
  t.strictSame(await schemaOf(t, db), before)
  t.equal(await start(), undefined)
  t.strictSame(await recorded(), versionsOf(t))
})

t.test('a column that the host has added before its migration: exists once', async (t) => {
  const { db, start } = await open(t, 2)
  await db.exec('ALTER TABLE omnichannel_contact ADD COLUMN update_id TEXT')
  t.equal(await start(), undefined)
  t.strictSame(await schemaOf(t, db), await newestSchema(t))
})

t.test('a dropped index, trigger, table or column: created again; other rows and revoked permissions stay as they are', async (t) => {
  const { db, start, roles, recorded } = await open(t)
  await start()
  const before = await schemaOf(t, db)
  await fill(db)
  await db.exec("DELETE FROM omnichannel_role_permission WHERE role <> 'admin'")
  const dropped = [...scriptOf(t).matchAll(/^CREATE (?:OR REPLACE )?(INDEX|TRIGGER|FUNCTION) (?:IF NOT EXISTS )?(?:main\.)?(\w+)(?:.* ON (\w+)$)?/gm)]
  t.ok(dropped.length >= 7)
  for (const [, type, name, table] of dropped) {
    await db.exec(`DROP ${type} ${name} ${dialectOf(t) === 'sqlite' ? '' : type === 'TRIGGER' ? `ON ${table}` : 'CASCADE'}`)
    const rows = await allRows(db)
    t.equal(await start({ migrate: false }), undefined, 'answers are right without it')
    t.equal(await start(), undefined)
    t.strictSame(await schemaOf(t, db), before, name!)
    t.strictSame(await allRows(db), rows)
  }
  // On PostgreSQL other tables refer to the contact.
  const tables = ['room', 'inquiry', 'statistic', 'contact_channel', 'migration', ...dialectOf(t) === 'sqlite' ? ['contact'] : []]
  for (const table of tables) {
    await db.exec(`DROP TABLE omnichannel_${table}`)
    t.equal(await start(), undefined)
    t.strictSame(await schemaOf(t, db), before, table)
  }
  await db.exec('ALTER TABLE omnichannel_contact DROP COLUMN update_id')
  t.strictSame(await start({ migrate: false }), incompleteSchema('omnichannel_contact.update_id'))
  t.equal(await start(), undefined)
  t.strictSame(await schemaOf(t, db), before)
  t.strictSame([await roles(), await recorded()], [['admin'], versionsOf(t)])
})

t.test('permissions changed by an administrator: kept after a restart', async (t) => {
  const permission = 'update-livechat-contact'
  const granted = defaultRoles.map((role) => ({ role, permission }))
  const edits: Record<string, unknown[]> = {
    'DELETE FROM omnichannel_role_permission': [],
    "DELETE FROM omnichannel_role_permission WHERE role <> 'admin'": [{ role: 'admin', permission }],
    "UPDATE omnichannel_role_permission SET permission = 'other' WHERE role = 'admin'": [{ role: 'admin', permission: 'other' }, ...granted.slice(1)]
  }
  for (const [edit, left] of Object.entries(edits)) {
    const { db, start } = await open(t)
    await start()
    await db.exec(edit)
    t.equal(await start(), undefined)
    t.strictSame(await db.rows('SELECT role, permission FROM omnichannel_role_permission ORDER BY 1, 2'), left, edit)
  }
})

t.test('permissions in the database before the first registration: kept, without the defaults', async (t) => {
  const { db, start, roles } = await open(t)
  await db.exec(scriptOf(t))
  await db.exec("INSERT INTO omnichannel_role_permission VALUES ('my-role', 'update-livechat-contact'), ('admin', 'other')")
  t.equal(await start(), undefined)
  t.strictSame(await roles(), ['my-role'])
})

t.test('a database of a newer version: refused with advice, and not changed', async (t) => {
  const { db, start } = await open(t)
  await start()
  await db.exec('INSERT INTO omnichannel_migration (id) VALUES (7); DROP TABLE omnichannel_inquiry')
  const before = await schemaOf(t, db)
  for (const migrate of [true, false]) {
    t.match(await start({ migrate }), {
      code: 'FOC_NEWER_SCHEMA',
      message: 'The database has schema version 7, and this version of fastify-omnichannel-contacts knows only 3: upgrade the package'
    })
    t.strictSame(await schemaOf(t, db), before)
  }
})

t.test('migrate: false on an incomplete database: the error names what is missing, and nothing is written', async (t) => {
  const { db, start } = await open(t)
  const tables = [...scriptOf(t).matchAll(/^CREATE TABLE IF NOT EXISTS (\w+)/gm)].map(([, table]) => table)
  t.strictSame(await start({ migrate: false }), incompleteSchema(tables.join(', ')))
  t.strictSame(await db.tables(), [])
  await db.exec(scriptOf(t))
  await db.exec('DROP TABLE omnichannel_room; ALTER TABLE omnichannel_user DROP COLUMN username')
  t.strictSame(await start({ migrate: false }), incompleteSchema('omnichannel_user.username, omnichannel_room'))
  t.strictSame(await start(), incompleteSchema('omnichannel_user.username'), 'only columns of a later version can be added')
})
