import type Database from 'better-sqlite3'
import fastify from 'fastify'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import omnichannelContacts, { type OmnichannelContactsOptions } from '../../../src/index.js'
import { generate } from '../../../scripts/generate-migrations.js'
import { allRows, as, fill, path } from '../../build.js'
import { openFile } from '../../files.js'
import { rejectionOf } from '../../registration.js'
import { sqliteDb } from '../../sqlite.js'
import { turns } from '../../waiting.js'

const schemaSql = readFileSync('schema.sql', 'utf8')

const permission = 'update-livechat-contact'
const answer = "INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer) VALUES ('ann', 'k', 'f', 'maria', 1, '{}')"
const granted = ['admin', 'livechat-agent', 'livechat-manager', 'livechat-monitor'].map((role) => ({ role, permission }))

const start = async (database: Database.Database, options: Partial<OmnichannelContactsOptions> = {}): ReturnType<typeof rejectionOf> =>
  await rejectionOf({ database, ...options })

/** Without comments and layout, which ALTER TABLE does not keep. */
function schemaOf (database: Database.Database): unknown[] {
  const bare = (sql: string | null): string | undefined => sql?.replace(/--.*$/gm, '').replace(/\s+/g, ' ')
  return database.prepare<[], { name: string, sql: string | null }>('SELECT name, sql FROM sqlite_schema ORDER BY name').all()
    .map(({ name, sql }) => [name, bare(sql)])
}

/** A database as an earlier version of the package left it. */
function openVersion (t: Test, version: number, file?: string, isRecorded = true): Database.Database {
  const database = openFile(t, file)
  for (let id = 1; id <= version; id++) {
    database.exec(readFileSync(`src/store/migrations/sqlite/00000${id}.sql`, 'utf8'))
    if (isRecorded) database.prepare('INSERT INTO omnichannel_migration (id) VALUES (?)').run(id)
  }
  return database
}

function grants (database: Database.Database): unknown[] {
  return database.prepare('SELECT role, permission FROM omnichannel_role_permission ORDER BY 1, 2').all()
}

t.test('a new database: gets the schema of schema.sql, and the default roles', async (t) => {
  const database = openFile(t)
  database.pragma('user_version = 77')
  t.equal(await start(database), undefined)
  const byHand = openFile(t)
  byHand.exec(schemaSql)
  t.strictSame(schemaOf(database), schemaOf(byHand))
  t.strictSame(grants(database), granted)
  const applied = await sqliteDb(database).rows('SELECT * FROM omnichannel_migration')
  t.match(applied, [1, 2, 3].map((id) => ({ id, applied_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ })))
  t.equal(database.pragma('user_version', { simple: true }), 77)
})

t.test('a file of version 1 or 2: upgraded, and keeps its rows', async (t) => {
  for (const [version, isRecorded] of [[1, true], [1, false], [2, true], [2, false]] as const) {
    const file = `${t.testdir()}/contacts.db`
    const old = openVersion(t, version, file, isRecorded)
    old.exec("INSERT INTO omnichannel_role_permission VALUES ('my-role', 'update-livechat-contact')")
    await fill(sqliteDb(old))
    if (version === 2) old.exec(answer)
    const before = await allRows(sqliteDb(old))
    const missing = ['omnichannel_contact.update_id', ...version === 1 ? ['omnichannel_idempotency_key'] : []].join(', ')
    t.match(await start(openFile(t, file), { migrate: false }), {
      code: 'FOC_INCOMPLETE_SCHEMA', message: `The database lacks ${missing}. Register with migrate: true, run the command migrate, or`
    })
    t.strictSame(await allRows(sqliteDb(old)), before)

    const database = openFile(t, file)
    t.equal(await start(database), undefined)
    const after = await allRows(sqliteDb(database))
    t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [1, 2, 3])
    t.strictSame({ ...after, omnichannel_migration: before.omnichannel_migration }, {
      omnichannel_idempotency_key: [],
      ...before,
      omnichannel_contact: (before.omnichannel_contact as object[]).map((contact) => ({ ...contact, update_id: null }))
    })
    const byHand = openFile(t)
    byHand.exec(schemaSql)
    t.strictSame(schemaOf(database), schemaOf(byHand))

    const seen = old.pragma('data_version', { simple: true })
    t.equal(await start(database), undefined)
    t.equal(old.pragma('data_version', { simple: true }), seen, 'once')
  }
})

t.test('a migration that fails: rolled back', async (t) => {
  const database = openVersion(t, 2)
  const before = database.prepare('SELECT * FROM sqlite_schema').all()
  database.exec("CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_migration BEGIN SELECT RAISE(ABORT, 'no'); END")
  t.match(await start(database), { message: 'no' })
  database.exec('DROP TRIGGER refuse')
  t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), before)
  t.equal(await start(database), undefined)
})

t.test('a column that the host has added before its migration, or dropped after it: exists once', async (t) => {
  const early = openVersion(t, 2)
  early.exec('ALTER TABLE omnichannel_contact ADD COLUMN update_id TEXT')
  t.equal(await start(early), undefined)
  const late = openFile(t)
  await start(late)
  const before = schemaOf(late)
  await fill(sqliteDb(late))
  late.exec('ALTER TABLE omnichannel_contact DROP COLUMN update_id')
  t.match(await start(late, { migrate: false }), { code: 'FOC_INCOMPLETE_SCHEMA', message: /lacks omnichannel_contact\.update_id\./ })
  t.equal(await start(late), undefined)
  t.strictSame([schemaOf(early), schemaOf(late)], [before, before])
  t.strictSame((await allRows(sqliteDb(late))).omnichannel_migration!.length, 3)
})

t.test('published migrations: the text never changes', async (t) => {
  const published = {
    'sqlite/000001': 'd2342b6b9edc3823eecba22945f40d25343ca12ac4230a8f80a75875ea659568',
    'sqlite/000002': '6a1a8ce9b419e8147900970ed9e0192ba59d03f843ce5dae306d8118155b959a',
    'postgres/000002': 'e1b600e2dc75b7e0a02c8b5c62cd334e9730ad51e8e7b513c153b1b1b5d8dd3a'
  }
  for (const [name, hash] of Object.entries(published)) {
    t.equal(createHash('sha256').update(readFileSync(`src/store/migrations/${name}.sql`)).digest('hex'), hash, name)
  }
})

t.test('the files generated from the migrations: up to date (npm run generate writes them)', async (t) => {
  for (const [path, text] of Object.entries(generate())) t.equal(readFileSync(path, 'utf8'), text, path)
})

t.test('a dropped index or trigger: created again, and the rows stay', async (t) => {
  const database = openFile(t)
  await start(database)
  const before = schemaOf(database)
  await fill(sqliteDb(database))
  const indexes = database.prepare<[], { type: string, name: string }>(
    "SELECT type, name FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL").all()
  t.ok(indexes.length >= 8)
  for (const { type, name: index } of indexes) {
    database.exec(`DROP ${type} ${index}`)
    const filled = await allRows(sqliteDb(database))
    t.equal(await start(database, { migrate: false }), undefined, 'a missing index is no error')
    t.equal(await start(database), undefined)
    t.strictSame(schemaOf(database), before, index)
    t.strictSame(await allRows(sqliteDb(database)), filled)
  }
})

t.test('a second registration: writes nothing', async (t) => {
  for (const journal of ['WAL', 'DELETE']) {
    const file = `${t.testdir()}/contacts.db`
    const observer = openFile(t, file)
    observer.pragma(`journal_mode = ${journal}`)
    t.equal(await start(openFile(t, file)), undefined)
    const version = observer.pragma('data_version', { simple: true })
    for (const migrate of [true, false]) {
      t.equal(await start(openFile(t, file), { migrate }), undefined)
      t.equal(await start(openFile(t, file, { readonly: true }), { migrate }), undefined, 'also on a read-only handle')
    }
    t.equal(observer.pragma('data_version', { simple: true }), version)
  }
})

t.test('two processes at once: one migrates', async (t) => {
  const folder = t.testdir()
  const databases = ['WAL', 'DELETE'].flatMap((journal) => [0, 2].map((version) => {
    const database = openVersion(t, version, `${folder}/${journal}-${version}.db`)
    database.pragma(`journal_mode = ${journal}`)
    return { database, version }
  }))
  const children = [1, 2].map(() => fork('test/fixtures/register.ts', databases.map(({ database }) => database.name)))
  t.teardown(() => { for (const child of children) child.kill() })
  await Promise.all(children.map((child) => once(child, 'message')))
  for (const child of children) child.send('go')
  t.strictSame((await Promise.all(children.map((child) => once(child, 'exit')))).map(([code]) => code), [0, 0])
  for (const { database, version } of databases) {
    t.strictSame(grants(database), version === 0 ? granted : [])
    t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [1, 2, 3])
    t.equal(await start(database, { migrate: false }), undefined)
  }
})

t.test('permissions changed by an administrator: kept after a restart', async (t) => {
  const edits: Record<string, unknown[]> = {
    'DELETE FROM omnichannel_role_permission': [],
    "DELETE FROM omnichannel_role_permission WHERE role <> 'admin'": [{ role: 'admin', permission }],
    "UPDATE omnichannel_role_permission SET permission = 'other' WHERE role = 'admin'": [{ role: 'admin', permission: 'other' }, ...granted.slice(1)]
  }
  for (const [edit, left] of Object.entries(edits)) {
    const database = openFile(t)
    await start(database)
    database.exec(edit)
    t.equal(await start(database), undefined)
    t.strictSame(grants(database), left, edit)
  }
})

t.test('permissions in the database before the first registration: kept, without the defaults', async (t) => {
  const database = openFile(t)
  database.exec(schemaSql)
  database.exec(`INSERT INTO omnichannel_role_permission VALUES ('my-role', '${permission}'), ('admin', 'other')`)
  t.equal(await start(database), undefined)
  t.strictSame(grants(database), [{ role: 'admin', permission: 'other' }, { role: 'my-role', permission }])
})

t.test('a dropped table: created again', async (t) => {
  const database = openFile(t)
  await start(database)
  const before = schemaOf(database)
  await fill(sqliteDb(database))
  for (const table of ['omnichannel_contact', 'omnichannel_contact_channel', 'omnichannel_inquiry', 'omnichannel_statistic', 'omnichannel_migration']) {
    database.exec(`DROP TABLE ${table}`)
    t.equal(await start(database), undefined)
    t.strictSame(schemaOf(database), before, table)
  }
  t.match(await allRows(sqliteDb(database)), { omnichannel_migration: [{ id: 1 }, { id: 2 }, { id: 3 }] })
})

t.test('a database of a newer version: refused with advice, and not changed', async (t) => {
  for (const migrate of [true, false]) {
    const database = openFile(t)
    await start(database)
    database.exec('INSERT INTO omnichannel_migration (id) VALUES (7); DROP TABLE omnichannel_inquiry')
    const before = schemaOf(database)
    t.match(await start(database, { migrate }), {
      code: 'FOC_NEWER_SCHEMA',
      message: 'The database has schema version 7, and this version of fastify-omnichannel-contacts knows only 3: upgrade the package'
    })
    t.strictSame(schemaOf(database), before)
  }
})

t.test('another connection migrates: the registration waits for it, and adds nothing', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const other = openFile(t, file)
  other.exec('BEGIN IMMEDIATE')
  t.match(await start(openFile(t, file), { lockTimeout: 30 }), { code: 'FOC_DATABASE_BUSY' })
  const started = start(openFile(t, file))
  await turns(5)
  other.exec(`${schemaSql}; INSERT INTO omnichannel_migration (id) VALUES (1), (2), (3); COMMIT`)
  t.equal(await started, undefined)
  t.strictSame(grants(other), [], 'no default permissions')
})

t.test('an up-to-date database with a write lock of another connection: registered at once', async (t) => {
  for (const journal of ['WAL', 'DELETE']) {
    const file = `${t.testdir()}/contacts.db`
    const other = openFile(t, file)
    other.pragma(`journal_mode = ${journal}`)
    t.equal(await start(openFile(t, file)), undefined)
    other.exec('BEGIN IMMEDIATE')
    t.equal(await start(openFile(t, file), { lockTimeout: 0 }), undefined, journal)
    other.exec('ROLLBACK')
  }
})

t.test('a failed registration: the handle stays usable', async (t) => {
  const database = openFile(t)
  t.match(await start(database, { migrate: false }), { code: 'FOC_INCOMPLETE_SCHEMA' })
  const app = fastify()
  t.teardown(async () => { await app.close() })
  await app.register(omnichannelContacts, { database })
  await fill(sqliteDb(database))
  const reply = await app.inject({ method: 'POST', url: path, headers: as('ann'), payload: { contactId: 'maria', name: 'Marie' } })
  t.equal(reply.statusCode, 200)
})
