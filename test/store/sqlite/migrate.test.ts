// What migrations do on SQLite only, and the files that are generated from them.

import type Database from 'better-sqlite3'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { generate } from '../../../scripts/generate-migrations.js'
import type { OmnichannelContactsOptions } from '../../../src/index.js'
import { openFile } from '../../helpers/sqlite-files.js'
import { rejectionOf } from '../../helpers/registration.js'
import { waitTurns } from '../../helpers/waiting.js'

const schemaSql = readFileSync('schema.sql', 'utf8')
/** The SQL of a database of schema version 2. */
const version2 = `${['000001', '000002'].map((id) => readFileSync(`src/store/migrations/sqlite/${id}.sql`, 'utf8')).join('')}
  INSERT INTO omnichannel_migration (id) VALUES (1), (2)`

const start = async (database: Database.Database, options: Partial<OmnichannelContactsOptions> = {}): ReturnType<typeof rejectionOf> =>
  await rejectionOf({ database, ...options })

const rolesOf = (database: Database.Database): unknown[] =>
  database.prepare('SELECT role FROM omnichannel_role_permission ORDER BY 1').pluck().all()

t.test('published migrations: their text never changes', async (t) => {
  /** The SHA-256 of each file. */
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

t.test('a second registration: writes nothing', async (t) => {
  for (const journalMode of ['WAL', 'DELETE']) {
    const file = `${t.testdir()}/contacts.db`
    const observer = openFile(t, file)
    observer.pragma(`journal_mode = ${journalMode}`)
    t.equal(await start(openFile(t, file)), undefined)
    // Changes with each commit of another connection.
    const version = observer.pragma('data_version', { simple: true })
    for (const migrate of [true, false]) {
      t.equal(await start(openFile(t, file), { migrate }), undefined)
      t.equal(await start(openFile(t, file, { readonly: true }), { migrate }), undefined, 'also on a read-only handle')
    }
    t.equal(observer.pragma('data_version', { simple: true }), version)
  }
})

t.test('two processes register at once, on empty databases and earlier versions: one of them migrates', async (t) => {
  const folder = t.testdir()
  const databases = ['WAL', 'DELETE'].flatMap((journalMode) => [false, true].map((isEarlier) => {
    const database = openFile(t, `${folder}/${journalMode}-${isEarlier}.db`)
    database.pragma(`journal_mode = ${journalMode}`)
    if (isEarlier) database.exec(version2)
    return { database, isEarlier }
  }))
  const children = [1, 2].map(() => fork('test/fixtures/register-process.ts', databases.map(({ database }) => database.name)))
  t.teardown(() => { for (const child of children) child.kill() })
  await Promise.all(children.map((child) => once(child, 'message')))
  for (const child of children) child.send('go')
  t.strictSame((await Promise.all(children.map((child) => once(child, 'exit')))).map(([code]) => code), [0, 0])
  for (const { database, isEarlier } of databases) {
    t.strictSame(rolesOf(database), isEarlier ? [] : ['admin', 'livechat-agent', 'livechat-manager', 'livechat-monitor'])
    t.strictSame(database.prepare('SELECT id FROM omnichannel_migration').pluck().all(), [1, 2, 3])
    t.equal(await start(database, { migrate: false }), undefined)
  }
})

t.test('another connection migrates: the registration waits for it, and adds nothing', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const other = openFile(t, file)
  other.exec('BEGIN IMMEDIATE')
  t.match(await start(openFile(t, file), { lockTimeout: 30 }), { code: 'FOC_DATABASE_BUSY' })
  const started = start(openFile(t, file))
  await waitTurns(5)
  other.exec(`${schemaSql}; INSERT INTO omnichannel_migration (id) VALUES (1), (2), (3); COMMIT`)
  t.equal(await started, undefined)
  t.strictSame(rolesOf(other), [], 'no default permissions')
})

t.test('an up-to-date database with a write lock of another connection: registered at once', async (t) => {
  for (const journalMode of ['WAL', 'DELETE']) {
    const file = `${t.testdir()}/contacts.db`
    const other = openFile(t, file)
    other.pragma(`journal_mode = ${journalMode}`)
    t.equal(await start(openFile(t, file)), undefined)
    other.exec('BEGIN IMMEDIATE')
    t.equal(await start(openFile(t, file), { lockTimeout: 0 }), undefined, journalMode)
    other.exec('ROLLBACK')
  }
})
