// Migrations bring the host's database to the schema of schema.sql or schema.postgres.sql.

import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { allRows, fill } from '../helpers/test-server.js'
import type { Db, Row } from '../helpers/database.js'
import t, { dialectOf, openDatabase } from '../helpers/engines.js'
import { schemaOf as schemaOfPostgres } from '../helpers/postgres.js'
import { incompleteSchema, rejectionOf } from '../helpers/registration.js'

const defaultRoles = ['admin', 'livechat-agent', 'livechat-manager', 'livechat-monitor']
const storeAnswer = `INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer)
  VALUES ('ann', 'key', 'fingerprint', 'maria', 1, '{}')`

/** The text of schema.sql or schema.postgres.sql. */
const schemaSqlOf = (t: Test): string => readFileSync(dialectOf(t) === 'sqlite' ? 'schema.sql' : 'schema.postgres.sql', 'utf8')
/** PostgreSQL is supported since schema version 2. */
const versionsOf = (t: Test): number[] => dialectOf(t) === 'sqlite' ? [1, 2, 3] : [2, 3]

interface Earlier {
  /** The schema version. 0: the database is empty. */
  version?: number
  /** Whether omnichannel_migration has the ids of the migrations. It has none if the host ran schema.sql itself. */
  isRecorded?: boolean
}

/** An empty database, or one as an earlier version of the package left it. */
async function open (t: Test, { version = 0, isRecorded = true }: Earlier = {}) {
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

/** The schema without comments, layout and the places of dropped columns. */
async function schemaOf (t: Test, db: Db): Promise<unknown[]> {
  if (dialectOf(t) === 'postgres') return (await schemaOfPostgres(db)).filter((row) => !JSON.stringify(row).includes('pg.dropped'))
  const rows = await db.rows<{ name: string, sql: string | null }>('SELECT name, sql FROM sqlite_schema ORDER BY name')
  return rows.map(({ name, sql }) => [name, sql?.replace(/--.*$/gm, '').replace(/\s+/g, ' ')])
}

function withoutMigrations ({ omnichannel_migration: _, ...tables }: Record<string, Row[]>): Record<string, Row[]> {
  return tables
}

async function newestSchema (t: Test): Promise<unknown[]> {
  const { db } = await open(t)
  await db.exec(schemaSqlOf(t))
  return await schemaOf(t, db)
}

t.test('two registrations on an empty database: it has the schema of schema.sql and the default roles, once', async (t) => {
  const { db, start, roles, recorded } = await open(t)
  t.equal(await start(), undefined)
  t.equal(await start(), undefined)
  t.strictSame(await schemaOf(t, db), await newestSchema(t))
  t.strictSame([await roles(), await recorded()], [defaultRoles, versionsOf(t)])
  for (const time of await db.column<string>('SELECT applied_at FROM omnichannel_migration')) t.equal(new Date(time).toISOString(), time)
})

t.test('the host has run schema.sql, even twice: migrate: false finds all tables, and migrate: true adds the default roles', async (t) => {
  const { db, start, roles, recorded } = await open(t)
  await db.exec(schemaSqlOf(t))
  await db.exec(schemaSqlOf(t))
  t.equal(await start({ migrate: false }), undefined)
  t.strictSame([await roles(), await recorded()], [[], []], 'migrate: false writes nothing')
  t.equal(await start(), undefined)
  t.strictSame(await roles(), defaultRoles)
})

t.test('a database of an earlier version: refused with migrate: false, otherwise upgraded, and its rows are kept', async (t) => {
  for (const version of versionsOf(t).slice(0, -1)) {
    for (const isRecorded of [true, false]) {
      const { db, start, roles, recorded } = await open(t, { version, isRecorded })
      await db.exec("INSERT INTO omnichannel_role_permission VALUES ('my-role', 'update-livechat-contact')")
      await fill(db)
      if (version === 2) await db.exec(storeAnswer)
      const before = await allRows(db)
      const missing = ['omnichannel_contact.update_id', ...version === 1 ? ['omnichannel_idempotency_key'] : []]
      t.strictSame(await start({ migrate: false }), incompleteSchema(missing.join(', ')))
      t.strictSame(await allRows(db), before)

      t.equal(await start(), undefined)
      t.strictSame([await roles(), await recorded()], [['my-role'], versionsOf(t)])
      t.strictSame(withoutMigrations(await allRows(db)), withoutMigrations({
        // Version 1 has no such table.
        omnichannel_idempotency_key: [],
        ...before,
        omnichannel_contact: before.omnichannel_contact!.map((contact) => ({ ...contact, update_id: null }))
      }))
      t.strictSame(await schemaOf(t, db), await newestSchema(t))
    }
  }
})

t.test('a migration that fails: rolled back', async (t) => {
  const { db, start, recorded } = await open(t, { version: 2 })
  const before = await schemaOf(t, db)
  const addTrigger = {
    sqlite: "CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_migration BEGIN SELECT RAISE(ABORT, 'no'); END",
    postgres: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_migration FOR EACH ROW EXECUTE FUNCTION refuse()`
  }
  const dropTrigger = { sqlite: 'DROP TRIGGER refuse', postgres: 'DROP FUNCTION refuse CASCADE' }
  await db.exec(addTrigger[dialectOf(t)])
  t.match(await start(), { message: 'no' })
  await db.exec(dropTrigger[dialectOf(t)])
  t.strictSame(await schemaOf(t, db), before)
  t.equal(await start(), undefined)
  t.strictSame(await recorded(), versionsOf(t))
})

t.test('the host has added a column that a migration adds: the column exists once', async (t) => {
  const { db, start } = await open(t, { version: 2 })
  await db.exec('ALTER TABLE omnichannel_contact ADD COLUMN update_id TEXT')
  t.equal(await start(), undefined)
  t.strictSame(await schemaOf(t, db), await newestSchema(t))
})

/** The commands that drop the indexes, triggers and functions of schema.sql one by one, each by the name of what it drops. */
function dropCommands (t: Test): Array<[name: string, command: string]> {
  const creations = schemaSqlOf(t).matchAll(/^CREATE (?:OR REPLACE )?(INDEX|TRIGGER|FUNCTION) (?:IF NOT EXISTS )?(?:main\.)?(\w+)(?:.* ON (\w+)$)?/gm)
  return [...creations].map(([, type, name, table]) => {
    if (dialectOf(t) === 'sqlite') return [name!, `DROP ${type} ${name}`]
    return [name!, type === 'TRIGGER' ? `DROP TRIGGER ${name} ON ${table}` : `DROP ${type} ${name} CASCADE`]
  })
}

/** A database of the newest version with rows, and without most of the default permissions. */
async function openEdited (t: Test) {
  const opened = await open(t)
  await opened.start()
  await fill(opened.db)
  await opened.db.exec("DELETE FROM omnichannel_role_permission WHERE role <> 'admin'")
  return { ...opened, schema: await schemaOf(t, opened.db) }
}

t.test('a dropped index, trigger or function: not missed by migrate: false, created again by migrate: true, and all rows are kept', async (t) => {
  const { db, start, roles, schema } = await openEdited(t)
  const commands = dropCommands(t)
  t.ok(commands.length >= 7, 'all are found')
  for (const [name, command] of commands) {
    await db.exec(command)
    const rows = await allRows(db)
    t.equal(await start({ migrate: false }), undefined, 'answers are right without it')
    t.equal(await start(), undefined)
    t.strictSame(await schemaOf(t, db), schema, name)
    t.strictSame(await allRows(db), rows)
  }
  t.strictSame(await roles(), ['admin'], 'permissions stay revoked')
})

t.test('a dropped table or column: created again, and permissions stay revoked', async (t) => {
  const { db, start, roles, recorded, schema } = await openEdited(t)
  // On PostgreSQL other tables refer to the contact.
  const tables = ['room', 'inquiry', 'statistic', 'contact_channel', 'migration', ...dialectOf(t) === 'sqlite' ? ['contact'] : []]
  for (const table of tables) {
    await db.exec(`DROP TABLE omnichannel_${table}`)
    t.equal(await start(), undefined)
    t.strictSame(await schemaOf(t, db), schema, table)
  }
  await db.exec('ALTER TABLE omnichannel_contact DROP COLUMN update_id')
  t.strictSame(await start({ migrate: false }), incompleteSchema('omnichannel_contact.update_id'))
  t.equal(await start(), undefined)
  t.strictSame(await schemaOf(t, db), schema)
  t.strictSame([await roles(), await recorded()], [['admin'], versionsOf(t)])
})

t.test('permissions changed by an administrator: kept after a restart', async (t) => {
  const permission = 'update-livechat-contact'
  const [, ...permissionsOfOthers] = defaultRoles.map((role) => ({ role, permission }))
  const edits: Record<string, unknown[]> = {
    'DELETE FROM omnichannel_role_permission': [],
    "DELETE FROM omnichannel_role_permission WHERE role <> 'admin'": [{ role: 'admin', permission }],
    "UPDATE omnichannel_role_permission SET permission = 'other' WHERE role = 'admin'": [{ role: 'admin', permission: 'other' }, ...permissionsOfOthers]
  }
  for (const [edit, expected] of Object.entries(edits)) {
    const { db, start } = await open(t)
    await start()
    await db.exec(edit)
    t.equal(await start(), undefined)
    t.strictSame(await db.rows('SELECT role, permission FROM omnichannel_role_permission ORDER BY 1, 2'), expected, edit)
  }
})

t.test('permissions in the database before the first registration: kept, without the defaults', async (t) => {
  const { db, start, roles } = await open(t)
  await db.exec(schemaSqlOf(t))
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
  const tables = [...schemaSqlOf(t).matchAll(/^CREATE TABLE IF NOT EXISTS (\w+)/gm)].map(([, table]) => table)
  t.strictSame(await start({ migrate: false }), incompleteSchema(tables.join(', ')))
  t.strictSame(await db.tables(), [])
  await db.exec(schemaSqlOf(t))
  await db.exec('DROP TABLE omnichannel_room; ALTER TABLE omnichannel_user DROP COLUMN username')
  t.strictSame(await start({ migrate: false }), incompleteSchema('omnichannel_user.username, omnichannel_room'))
  t.strictSame(await start(), incompleteSchema('omnichannel_user.username'), 'a migration adds only columns of a later version')
})
