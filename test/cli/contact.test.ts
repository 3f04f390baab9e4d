import { Kysely, SqliteDialect } from 'kysely'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { selectByPrefix, selectPage } from '../../src/cli/find-contacts.js'
import type { Tables } from '../../src/store/tables.js'
import { fill } from '../helpers/test-server.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { openFile } from './sqlite-files.js'
import { cli } from './run-cli.js'

/** A database file with contacts, and functions that run `contact list`. */
async function createDatabase (t: Test) {
  const file = join(t.testdir(), 'contacts.db')
  await cli(['user', 'add', 'adam', '--role', 'admin', '--database', file])
  const database = openFile(t, file)
  await fill(sqliteDb(database))
  const add = database.prepare('INSERT INTO omnichannel_contact (id, name) VALUES (?, ?)')
  for (const [id, name] of Object.entries({ c1: 'Éva Müller', c2: 'Иван Петров', c3: 'e\u0301va k', c4: '100%_\\' })) add.run(id, name)
  database.exec(`
    INSERT INTO omnichannel_contact_email VALUES ('c1', 0, 'Eva@Example.com'), ('c2', 0, 'ivan@example.com'), ('gone', 0, 'maria@example.net');
    INSERT INTO omnichannel_contact_phone VALUES ('c1', 0, '+49 30 2'), ('c2', 0, '0049 30 1');
  `)
  const list = async (...argv: string[]) => await cli(['contact', 'list', '--database', file, ...argv])
  const ids = async (...argv: string[]) => (JSON.parse((await list('--json', ...argv)).out) as Array<{ _id: string }>).map(({ _id }) => _id)
  return { database, list, ids }
}

t.test('contact list: all enabled contacts, sorted by id', async (t) => {
  const { list } = await createDatabase(t)
  t.strictSame(await list(), {
    code: 0,
    err: '',
    out: [
      'ID     NAME         E-MAILS                           PHONES',
      'blank',
      'c1     Éva Müller   Eva@Example.com                   +49 30 2',
      'c2     Иван Петров  ivan@example.com                  0049 30 1',
      'c3     e\u0301va k',
      'c4     100%_\\',
      'maria  Maria        maria@example.com, m@example.org  +49 30 1',
      ''
    ].join('\n')
  })
})

t.test('contact list --search: by the start of an address or a number, and by any part of a name', async (t) => {
  const { ids } = await createDatabase(t)
  const scenarios: Array<[situation: string, search: string, found: string[]]> = [
    ['a whole address', 'ivan@example.com', ['c2']],
    ['the start of an address, and not that of a disabled contact', 'maria@exam', ['maria']],
    ['an address in other letter case', 'IVAN@Example.COM', ['c2']],
    ['an address as it is stored', 'Eva@E', ['c1']],
    ['the end of an address', 'example.org', []],
    ['the start of a number', '+49 30', ['c1', 'maria']],
    ['spaces around it', ' 0049 ', ['c2']],
    ['a part of a name', 'üll', ['c1']],
    ['a name in capitals', 'ÉVA', ['c1', 'c3']],
    ['a name in small letters', 'иван петров', ['c2']],
    ['special characters of LIKE', '%_\\', ['c4']],
    ['an address, then names', 'm', ['maria', 'c1']],
    ['no match', 'nobody', []]
  ]
  for (const [situation, search, found] of scenarios) t.strictSame(await ids('--search', search), found, situation)
})

t.test('contact list --limit: stderr says that there are more contacts, and names are searched only if addresses do not suffice', async (t) => {
  const { database, list, ids } = await createDatabase(t)
  t.match(await list('--limit', '2'), {
    code: 0,
    out: /^ID .*\nblank\nc1 .*\n$/,
    err: 'There are more contacts than these 2; see --limit and --search\n'
  })
  t.match(await list('--limit', '6'), { code: 0, err: '' })
  t.match(await list('--limit', '1', '--search', '+49 30'), { out: /\nc1 .*\n$/, err: /^There are more contacts than these 1; / })
  t.strictSame(await ids('--limit', '1', '--search', 'm'), ['maria'])
  // Each contact is found once, although several of its addresses fit.
  database.exec("INSERT INTO omnichannel_contact_email VALUES ('c1', 1, 'e1@x'), ('c1', 2, 'e2@x'), ('c1', 3, 'e3@x'), ('c3', 0, 'e4@x')")
  t.strictSame(await ids('--limit', '2', '--search', 'e'), ['c1', 'c3'])
})

t.test('contact list --json: each contact as the API shows it', async (t) => {
  const { list } = await createDatabase(t)
  const [contact] = JSON.parse((await list('--json', '--search', 'maria')).out) as object[]
  t.match(contact, { _id: 'maria', emails: [{ address: 'maria@example.com' }, { address: 'm@example.org' }], customFields: { plan: 'gold', legacy: 'kept' } })
})

t.test('contact list without a match: a message, and exit code 0', async (t) => {
  const { database, list } = await createDatabase(t)
  t.strictSame(await list('--search', 'nobody'), { code: 0, out: 'ID  NAME  E-MAILS  PHONES\n', err: 'No contact matches nobody\n' })
  database.exec('DELETE FROM omnichannel_contact')
  t.strictSame(await list('--json'), { code: 0, out: '[]\n', err: 'There is no contact yet\n' })
})

t.test('contact list: leaves out contacts that another program disables between two queries', async (t) => {
  const { database, list, ids } = await createDatabase(t)
  database.exec(`
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 100)
    INSERT INTO omnichannel_contact (id, name) SELECT 'n' || n, 'Name' FROM number;
    ALTER TABLE omnichannel_contact RENAME TO contact`)
  const columns = database.prepare("SELECT group_concat(iif(name = 'enabled', 'random() > 0 AS enabled', name)) FROM pragma_table_info('contact')").pluck().get() as string
  database.exec(`CREATE VIEW omnichannel_contact AS SELECT ${columns} FROM contact`)
  t.match(await list('--search', 'Name'), { code: 0, err: '' })
  const { length } = await ids('--search', 'Name')
  t.ok(length > 0 && length < 50, `${length} of 100, because a view enables each contact at random in both queries`)
})

t.test('contact list: reads more than one page', async (t) => {
  const { database, ids } = await createDatabase(t)
  database.exec(`
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 5001)
    INSERT INTO omnichannel_contact (id, name) SELECT printf('d%05d', n), 'Dora ' || n FROM number;`)
  t.strictSame(await ids('--search', 'dora 5001'), ['d05001'])
  t.equal((await ids('--limit', '9999')).length, 5001 + 6)
})

t.test('contact show: the same as contact alone', async (t) => {
  const { database } = await createDatabase(t)
  const outputOf = async (...argv: string[]) => JSON.parse((await cli(['contact', ...argv, '--database', database.name])).out) as object
  t.strictSame(await outputOf('show', 'maria'), await outputOf('maria'))
  t.match(await outputOf('maria'), {
    contact: { _id: 'maria' }, rooms: [{ _id: 'room-1', fname: 'Maria' }, { _id: 'room-2', fname: 'Maria', _updatedAt: '2026-01-01T00:00:00.000Z' }]
  })
})

t.test('query plans: addresses and numbers by their indexes, names by the primary key', async (t) => {
  const { database } = await createDatabase(t)
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })
  const plan = (query: { compile: () => { sql: string, parameters: readonly unknown[] } }) => {
    const { sql, parameters } = query.compile()
    return database.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters).map(({ detail }) => detail)
  }
  const contact = 'SEARCH contact USING PRIMARY KEY (id=?)'
  const sorting = 'USE TEMP B-TREE FOR DISTINCT'
  t.strictSame(plan(selectByPrefix(db, 'omnichannel_contact_email', 'm', 10, 'sqlite')),
    ['SEARCH item USING COVERING INDEX omnichannel_contact_email_address (address>? AND address<?)', contact, sorting])
  t.strictSame(plan(selectByPrefix(db, 'omnichannel_contact_phone', '+', 10, 'sqlite')),
    ['SEARCH item USING COVERING INDEX omnichannel_contact_phone_number (phone_number>? AND phone_number<?)', contact, sorting])
  t.strictSame(plan(selectPage(db, '')), ['SEARCH omnichannel_contact USING PRIMARY KEY (id>?)'])
})
