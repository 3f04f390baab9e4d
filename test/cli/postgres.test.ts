// The commands with a PostgreSQL server instead of a file.

import type { Test } from 'tap'
import { fill } from '../helpers/test-server.js'
import { postgres as t } from '../helpers/engines.js'
import { openSchema } from '../helpers/postgres.js'
import { cli, serve, update } from './run-cli.js'

async function open (t: Test) {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  const run = async (...argv: string[]) => await cli([...argv, '--database', url])
  return { db, url, run }
}

t.test('user and token: work as with a file', async (t) => {
  const { db, run } = await open(t)
  t.strictSame(await run('user', 'add', 'eve', '--role', 'livechat-agent', '--name', 'Eve'), { code: 0, out: 'Added user eve\n', err: '' })
  t.strictSame(await run('user', 'add', 'eve', '--username', 'e'), { code: 0, out: 'Updated user eve\n', err: '' })
  t.match(await run('user', 'deactivate', 'eve'), { code: 0, out: 'Deactivated user eve\n' })
  t.equal((await run('user', 'list')).out, 'ID   USERNAME  NAME  ACTIVE  ROLES\neve  e         Eve   no      livechat-agent\n')
  t.match(await run('user', 'activate', 'eve'), { code: 0 })
  t.match(await run('token', 'create', 'eve', '--name', 'laptop', '--expires', '3d'), { code: 0, out: /^[\w-]{43}\n$/ })
  t.match((await run('token', 'list')).out, /^eve {3}laptop {2}\S{12} {2}\d{4}-\S+Z {2}\d{4}-\S+Z$/m)
  t.match(await run('token', 'revoke', 'eve', 'laptop'), { code: 0 })
  t.match(await run('user', 'remove', 'eve'), { code: 0 })
  t.equal(await db.value('SELECT count(*) FROM omnichannel_user_role'), 0)
})

t.test('contact: works as with a file', async (t) => {
  const { db, run } = await open(t)
  await run('user', 'add', 'eve')
  await fill(db)
  await db.exec("INSERT INTO omnichannel_contact_email VALUES ('blank', 0, 'Maria@Example.com'), ('gone', 0, 'maria@example.net')")
  const ids = async (search: string) => (JSON.parse((await run('contact', 'list', '--json', '--search', search)).out) as Array<{ _id: string }>).map(({ _id }) => _id)
  t.strictSame(await ids('maria@exam'), ['maria'])
  t.strictSame(await ids('Maria@Exam'), ['blank', 'maria'])
  t.strictSame(await ids('+49 30'), ['maria'])
  t.strictSame(await ids('ARI'), ['maria'])
  t.strictSame(await ids(`maria@example.com${'x'.repeat(200)}`), [])
  t.match(JSON.parse((await run('contact', 'maria')).out), {
    contact: { _id: 'maria', channels: [{}, {}] }, rooms: [{ _id: 'room-1', _updatedAt: '2026-01-01T00:00:00.000Z' }, {}]
  })
})

t.test('names and ids with the characters that stand for U+0000: stored, found and listed as they are', async (t) => {
  const { db, run } = await open(t)
  await run('user', 'add', 'eve', '--name', '␀0')
  t.equal(await db.value('SELECT name FROM omnichannel_user'), '␀0')
  t.match((await run('user', 'list')).out, /^eve {2}eve {7}␀0 /m)
  await run('token', 'create', 'eve', '--name', '␀1')
  t.match(await run('token', 'revoke', 'eve', '␀1'), { code: 0 })
  // The command reads page after page. Each begins after the last id of the page before.
  for (const id of ['\0', '␀0', '␀1']) await db.exec("INSERT INTO omnichannel_contact (id, name) VALUES ($1, '')", id)
  const contacts = JSON.parse((await run('contact', 'list', '--json')).out) as Array<{ _id: string }>
  t.strictSame(contacts.map(({ _id }) => _id), ['\0', '␀0', '␀1'])
})

t.test('a time that no date can hold: listed as the server writes it', async (t) => {
  const { db, run } = await open(t)
  await run('user', 'add', 'eve')
  await db.exec("INSERT INTO omnichannel_auth_token (hashed_token, user_id, name, expires_at) VALUES ('h', 'eve', 'old', '-infinity'), ('i', 'eve', 'new', 'infinity')")
  const { code, out } = await run('token', 'list')
  t.equal(code, 0)
  t.match(out, /^eve {3}old .* -infinity$/m)
  t.match(out, /^eve {3}new .* infinity$/m)
})

t.test('times of the host are timestamps without a zone: listed as UTC', async (t) => {
  const { db, run } = await open(t)
  await run('user', 'add', 'eve')
  await db.exec(`ALTER TABLE omnichannel_auth_token ALTER expires_at TYPE timestamp;
    INSERT INTO omnichannel_auth_token (hashed_token, user_id, expires_at) VALUES ('h', 'eve', '2999-01-02 03:04:05.678')`)
  t.match((await run('token', 'list')).out, / 2999-01-02T03:04:05\.678Z$/m)
})

t.test('a search for the start of an address or a number: uses the index', async (t) => {
  const { db, run } = await open(t)
  await run('user', 'add', 'ann')
  // The tables are empty, so PostgreSQL would scan them.
  await db.exec('SET enable_seqscan = off')
  const planFor = async (table: string, column: string): Promise<string> => {
    const start = `left(${column}, 100) COLLATE "C"`
    return (await db.column<string>(`EXPLAIN SELECT 1 FROM ${table} WHERE ${start} >= 'a' AND ${start} < 'b'`)).join('\n')
  }
  t.match(await planFor('omnichannel_contact_email', 'address'), 'omnichannel_contact_email_address')
  t.match(await planFor('omnichannel_contact_phone', 'phone_number'), 'omnichannel_contact_phone_number')
})

t.test('serve: answers, is healthy, and prints no password', async (t) => {
  const { db, url } = await open(t)
  const server = await serve(t, ['--database', url])
  await fill(db)
  t.equal((await update(server.url, { contactId: 'maria', name: 'Marie' })).status, 200)
  t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Marie')
  t.strictSame(await (await fetch(`${server.url}/health`)).json(), { status: 'ok' })
  t.match(server.out(), 'Serving postgres://postgres@/postgres?')
  t.notMatch(server.out() + server.err(), 's3cret')
  t.equal(await server.stop(), 0)
})

t.test('serve --demo: fills an empty schema', async (t) => {
  const { url } = await open(t)
  const { out } = await serve(t, ['--demo', '--database', url])
  t.match(out(), /curl -i -X POST .* -H 'X-User-Id: ann'/)
})

t.test('PostgreSQL does not answer, or lacks a table: /health answers 503', async (t) => {
  const { db, url } = await open(t)
  const server = await serve(t, ['--database', url])
  await db.exec('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = current_schema()')
  t.equal((await fetch(`${server.url}/health`)).status, 200, 'lost connections are replaced')
  await db.exec('BEGIN; LOCK TABLE omnichannel_migration')
  t.equal((await fetch(`${server.url}/health`)).status, 503)
  t.match(server.err(), 'no answer in time')
  await db.exec('ROLLBACK; DROP TABLE omnichannel_migration')
  t.equal((await fetch(`${server.url}/health`)).status, 503)
})

t.test('PostgreSQL cannot be reached, or refuses: one sentence without the password', async (t) => {
  const { url } = await open(t)
  const unknownDatabase = url.replace('/postgres?', '/none?')
  t.strictSame(await cli(['user', 'list', '--database', unknownDatabase]), {
    code: 1, out: '', err: `The database ${unknownDatabase.replace(':s3cret', '')} cannot be used: database "none" does not exist\n`
  })
  t.match(await cli(['user', 'list', '--database', 'postgres://ann:s3cret@localhost:1/a?password=s3cret']), {
    code: 1, out: '', err: /^The database postgres:\/\/ann@localhost:1\/a\?password=\*\*\* cannot be used: connect ECONNREFUSED \S+\n$/
  })
  t.match(await cli(['user', 'list', '--database', url.replace('search_path', 'nothing')]), { code: 1, err: /cannot be used: .*nothing/ })
})

t.test('import and backup: refused, because they need a file', async (t) => {
  const { url } = await open(t)
  for (const argv of [['import', '--contacts', 'x'], ['backup', 'x']]) {
    const { code, err } = await cli([...argv, '--database', url])
    t.equal(code, 2)
    t.match(err, 'needs a file and not a server. pg_dump backs up PostgreSQL. To import into PostgreSQL, import into a file, then run the command copy')
    t.notMatch(err, 's3cret')
  }
})

t.test('a schema without tables: commands say so, and do not create them without --create', async (t) => {
  const { db, url, run } = await open(t)
  const name = url.replace(':s3cret', '')
  const commands = [
    ['user', 'list'], ['token', 'list'], ['contact', 'list'], ['contact', 'maria'],
    ['user', 'remove', 'ann'], ['user', 'activate', 'ann'], ['token', 'create', 'ann'], ['token', 'revoke', 'ann', 'crm']
  ]
  for (const argv of commands) {
    t.strictSame(await run(...argv), { code: 1, out: '', err: `The database ${name} has no tables of this program\n` }, argv.join(' '))
  }
  t.strictSame(await db.tables(), [])
  await run('user', 'add', 'ann', '--role', 'admin', '--create')
  t.match(await run('user', 'list'), { code: 0, err: '' })
})

t.test('a schema without one of the tables: refused by commands that read, and repaired by those that write', async (t) => {
  const { db, url, run } = await open(t)
  const name = url.replace(':s3cret', '')
  await run('user', 'add', 'ann', '--role', 'admin', '--create')
  await db.exec('DROP TABLE omnichannel_inquiry')
  t.strictSame(await run('user', 'list'), { code: 1, out: '', err: `The database lacks omnichannel_inquiry: the command migrate brings ${name} up to date\n` })
  t.notOk((await db.tables()).includes('omnichannel_inquiry'))
  t.equal((await run('user', 'activate', 'ann')).code, 0)
  t.ok((await db.tables()).includes('omnichannel_inquiry'))
})
