// The command migrate: it migrates a database, or prints the SQL for it.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { fill } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'
import t, { dialectOf, sqlite } from '../helpers/engines.js'
import { openSchema, schemaOf } from '../helpers/postgres.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { openDatabase } from './sqlite-files.js'
import { cli } from './run-cli.js'

interface Opened {
  /** The value of --database: a file or the URL of a server. */
  name: string
  /** The name in messages, without the password. */
  shownName: string
  db: Db
}

/** A database of an earlier schema version. 0 is an empty one. */
async function open (t: Test, version: number): Promise<Opened> {
  const opened = dialectOf(t) === 'sqlite' ? openFile(t) : await openServer(t)
  // PostgreSQL has no migration 1.
  for (let id = dialectOf(t) === 'sqlite' ? 1 : 2; id <= version; id++) {
    await opened.db.exec(readFileSync(`src/store/migrations/${dialectOf(t)}/00000${id}.sql`, 'utf8'))
    await opened.db.exec(`INSERT INTO omnichannel_migration (id) VALUES (${id})`)
  }
  return opened
}

const hasProgram = (name: string): boolean => spawnSync(name, ['--version']).status === 0

let fileCount = 0

function openFile (t: Test): Opened {
  const folder = existsSync(t.testdirName) ? t.testdirName : t.testdir()
  const name = join(folder, `${++fileCount}.db`)
  const database = openDatabase(name)
  t.teardown(() => { database.close() })
  return { name, shownName: name, db: sqliteDb(database) }
}

async function openServer (t: Test): Promise<Opened> {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  return { name: url, shownName: url.replace(':s3cret', ''), db }
}

/** The schema, the recorded migrations and the permissions. */
async function stateOf (t: Test, db: Db): Promise<unknown> {
  if (!(await db.tables()).includes('omnichannel_migration')) return undefined
  const recorded = await db.column('SELECT id FROM omnichannel_migration ORDER BY 1')
  const granted = await db.rows('SELECT role, permission FROM omnichannel_role_permission ORDER BY 1, 2')
  if (dialectOf(t) === 'sqlite') return { recorded, granted, schema: await db.rows('SELECT type, name, sql FROM sqlite_schema ORDER BY name') }
  return { recorded, granted, schema: await schemaOf(db) }
}

for (const version of [0, 1, 2]) {
  t.test(`migrate, twice, from version ${version}: migrates once, keeps the rows, and prints the versions`, async (t) => {
    const { name, shownName, db } = await open(t, version)
    // PostgreSQL has no version 1, so its database is empty.
    const from = dialectOf(t) === 'postgres' && version === 1 ? 0 : version
    if (version === 2) await fill(db)
    const migrate = async () => await cli(['migrate', '--database', name])
    t.strictSame(await migrate(), { code: 0, out: `Migrated ${shownName} from schema version ${from} to 3\n`, err: '' })
    t.equal(await db.value("SELECT count(*) FROM omnichannel_contact WHERE id = 'maria' AND update_id IS NULL"), version === 2 ? 1 : 0)
    t.strictSame(await migrate(), { code: 0, out: `${shownName} is up to date: schema version 3\n`, err: '' })
  })

  t.test(`migrate after version ${version} was migrated and an index dropped: repairs it, and says so`, async (t) => {
    const { name, shownName, db } = await open(t, version)
    const migrate = async () => await cli(['migrate', '--database', name])
    await migrate()
    await db.exec('DROP INDEX omnichannel_contact_email_address')
    t.strictSame(await migrate(), { code: 0, out: `${shownName} was repaired: schema version 3\n`, err: '' })
    t.strictSame(await migrate(), { code: 0, out: `${shownName} is up to date: schema version 3\n`, err: '' })
  })

  t.test(`migrate --print, version ${version}: changes nothing, and its script does the same as migrate`, async (t) => {
    /** For one database the script is printed and run. The other is migrated, for comparison. */
    const [printed, migrated] = [await open(t, version), await open(t, version)]
    const bytes = dialectOf(t) === 'sqlite' ? readFileSync(printed.name) : undefined
    const before = await stateOf(t, printed.db)
    const { code, out, err } = await cli(['migrate', '--print', '--database', printed.name])
    t.strictSame({ code, err }, { code: 0, err: '' })
    t.strictSame(await stateOf(t, printed.db), before)
    if (bytes !== undefined) t.ok(bytes.equals(readFileSync(printed.name)), 'byte by byte')

    await printed.db.exec(out)
    t.match(await cli(['migrate', '--database', migrated.name]), { code: 0 })
    t.strictSame(await stateOf(t, printed.db), await stateOf(t, migrated.db))
    t.strictSame(await cli(['migrate', '--print', '--database', printed.name]), {
      code: 0, out: '-- Nothing is to be done: the database has schema version 3.\n', err: ''
    })
    await cli(['migrate', '--database', printed.name])
    t.match(await cli(['migrate', '--database', printed.name]), { out: /is up to date/ })
  })
}

sqlite.test('a file that does not exist: migrate creates it, --print only prints the same schema', async (t) => {
  const file = join(t.testdir(), 'new.db')
  const { code, out } = await cli(['migrate', '--print', '--database', file])
  t.equal(code, 0)
  t.strictSame(readdirSync(t.testdirName), [])
  t.strictSame(await cli(['migrate', '--database', file]), { code: 0, out: `Migrated ${file} from schema version 0 to 3\n`, err: '' })
  const [migrated, printed] = [openDatabase(file), openDatabase(':memory:')]
  t.teardown(() => { migrated.close(); printed.close() })
  printed.exec(out)
  t.strictSame(await stateOf(t, sqliteDb(printed)), await stateOf(t, sqliteDb(migrated)))
  t.equal(migrated.pragma('journal_mode', { simple: true }), 'delete', 'the journal mode is left to the host')
})

sqlite.test('a file of another program: --print prints all, --create adds the tables', async (t) => {
  const { name, db } = await open(t, 0)
  await db.exec('CREATE TABLE theirs (id INTEGER)')
  const before = readFileSync(name)
  const { code, out, err } = await cli(['migrate', '--print', '--database', name])
  t.strictSame({ code, err }, { code: 0, err: '' })
  t.match(out, /CREATE TABLE .*omnichannel_contact \(/)
  t.match(await cli(['migrate', '--database', name]), { code: 1, out: '', err: `The database file ${name} has tables, but none of this program: --create adds them\n` })
  t.ok(before.equals(readFileSync(name)))
  t.strictSame(await cli(['migrate', '--create', '--database', name]), { code: 0, out: `Migrated ${name} from schema version 0 to 3\n`, err: '' })
  t.equal(await db.value('SELECT count(*) FROM theirs'), 0)
})

sqlite.test('a printed script: the program sqlite3 can run it', { skip: !hasProgram('sqlite3') }, async (t) => {
  const { name, db } = await open(t, 2)
  const { out } = await cli(['migrate', '--print', '--database', name])
  execFileSync('sqlite3', ['-bail', name], { input: out })
  t.strictSame(await db.column('SELECT id FROM omnichannel_migration'), [1, 2, 3])
})

t.test('a view that lacks a column, or a newer version: one sentence with the reason', async (t) => {
  const { name, shownName, db } = await open(t, 2)
  await db.exec('ALTER TABLE omnichannel_contact RENAME TO person; CREATE VIEW omnichannel_contact AS SELECT * FROM person')
  for (const flag of [[], ['--print']]) {
    t.match(await cli(['migrate', ...flag, '--database', name]), { code: 1, out: '', err: `${shownName} cannot be used: The database lacks omnichannel_contact.update_id.` })
  }
  await db.exec('DROP VIEW omnichannel_contact; ALTER TABLE person RENAME TO omnichannel_contact; INSERT INTO omnichannel_migration (id) VALUES (9)')
  for (const flag of [[], ['--print']]) {
    t.match(await cli(['migrate', ...flag, '--database', name]), { code: 1, out: '', err: /schema version 9, and this version .* knows only 3: upgrade the package\n$/ })
  }
})
