import Database from 'better-sqlite3'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { existsSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { as, fill, path } from '../build.js'
import { cli, serve } from './io.js'

const update = async (url: string, body: unknown, headers = as('ann')) => await fetch(url + path, {
  method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body)
})

t.test('a new file: is created, served, and reported healthy', async (t) => {
  const file = join(t.testdir(), 'new.db')
  const { url, stop } = await serve(t, ['--database', file])
  t.strictSame(await (await fetch(`${url}/health`)).json(), { status: 'ok' })
  const database = new Database(file)
  t.teardown(() => database.close())
  t.equal(database.pragma('journal_mode', { simple: true }), 'wal')
  fill(database)
  const reply = await update(url, { contactId: 'maria', name: 'Maria Silva' })
  t.equal(reply.status, 200)
  t.equal(database.prepare('SELECT fname FROM omnichannel_room WHERE id = ?').pluck().get('room-1'), 'Maria Silva')
  t.equal(await stop(), 0)
})

t.test('a database that fails: /health says so', async (t) => {
  const file = join(t.testdir(), 'broken.db')
  const { url, err } = await serve(t, ['--database', file])
  const database = new Database(file)
  t.teardown(() => database.close())
  database.exec('DROP TABLE omnichannel_migration')
  const reply = await fetch(`${url}/health`)
  t.equal(reply.status, 503)
  t.strictSame(await reply.json(), { status: 'unavailable' })
  t.match(err(), 'the database does not answer')
})

t.test('the documentation page: shows the operation, and / leads there', async (t) => {
  const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db')])
  const page = await fetch(url)
  t.equal(page.url, `${url}/documentation`)
  t.match(page.headers.get('content-type'), 'text/html')
  t.match(await (await fetch(`${url}/documentation/static/swagger-initializer.js`)).text(), 'SwaggerUIBundle')
  const document = await (await fetch(`${url}/documentation/json`)).json() as { paths: object }
  t.strictSame(Object.keys(document.paths), [path])
})

t.test('what a single-file build brings along: is used', async (t) => {
  // Loaded as better-sqlite3 does itself, from wherever this version has it.
  const require = createRequire(import.meta.url)
  const folder = dirname(require.resolve('better-sqlite3/package.json'))
  const addon = ['build/Release/better_sqlite3.node', `prebuilds/${process.platform}-${process.arch}.node`]
    .map((file) => join(folder, file)).find(existsSync)!
  const sqlite = require(addon) as object
  const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db')], { embedded: { sqlite, logo: Buffer.from('<svg/>') } })
  t.equal((await (await fetch(`${url}/health`)).text()), '{"status":"ok"}')
  t.match(await (await fetch(`${url}/documentation/static/swagger-initializer.js`)).text(), Buffer.from('<svg/>').toString('base64'))
})

t.test('an empty variable: counts as not set', async (t) => {
  const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db')], { env: { OMNICHANNEL_HOST: '' } })
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
})

t.test('--rate-limit: counts bad tokens too, and leaves the health route alone', async (t) => {
  const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db')], { env: { OMNICHANNEL_RATE_LIMIT: '2' } })
  const statuses = []
  for (let call = 0; call < 3; call++) statuses.push((await update(url, {})).status)
  t.strictSame(statuses, [401, 401, 429])
  t.equal(await (await fetch(`${url}/health`)).text(), '{"status":"ok"}')
})

t.test('a signal: what waits is answered first, and the process is left as it was', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const file = join(t.testdir(), `${signal}.db`)
    const { url, stop, listeners } = await serve(t, ['--database', file])
    const database = new Database(file)
    t.teardown(() => database.close())
    fill(database)
    database.exec('BEGIN IMMEDIATE')
    const reply = update(url, { contactId: 'maria', emails: ['waited@example.com'] })
    await new Promise((resolve) => setTimeout(resolve, 200))
    const start = performance.now()
    const code = stop(signal)
    database.exec('COMMIT')
    t.equal((await reply).status, 200)
    t.equal(await code, 0)
    t.ok(performance.now() - start < 5000, 'without waiting for the kept connection')
    t.equal(database.prepare("SELECT address FROM omnichannel_contact_email WHERE contact_id = 'maria'").pluck().get(), 'waited@example.com')
    t.strictSame(listeners(), [])
  }
})

t.test('cannot be served: one sentence, and the exit code', async (t) => {
  const folder = t.testdir({ 'text.db': 'this is no database, and long enough to show it '.repeat(50), folder: {} })
  const newer = new Database(join(folder, 'newer.db'))
  newer.exec('CREATE TABLE omnichannel_migration (id INTEGER PRIMARY KEY, applied_at TEXT); INSERT INTO omnichannel_migration VALUES (99, NULL)')
  newer.close()
  writeFileSync(join(folder, 'empty.db'), '')
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo

  const scenarios: Array<[situation: string, argv: string[], code: number, sentence: RegExp]> = [
    ['port taken', ['--database', 'empty.db', '--port', `${port}`], 1, /^Port \d+ of 127\.0\.0\.1 is taken: choose another with --port$/],
    ['address of somebody else', ['--database', 'empty.db', '--host', '203.0.113.1'], 1, /^Cannot listen on port 0 of 203\.0\.113\.1: /],
    ['not a database', ['--database', 'text.db'], 1, /^The database file .*text\.db is not a SQLite database$/],
    ['a folder', ['--database', 'folder'], 1, /^The database file .*folder cannot be opened for writing$/],
    ['no such folder', ['--database', 'none/a.db'], 1, /^The database file .*a\.db cannot be created, because its folder does not exist$/],
    ['newer schema', ['--database', 'newer.db'], 1, /^The database file .*newer\.db cannot be used: .* upgrade the package$/],
    ['port not a number', ['--port', 'http'], 2, /^--port must be a whole number from 0 to 65535, and is 'http'$/],
    ['port too large', ['--port', '65536'], 2, /^--port must be/],
    ['unknown log level', ['--log-level', 'loud'], 2, /^--log-level must be one of .*, and is 'loud'$/],
    ['negative limit', ['--rate-limit=-1'], 2, /^--rate-limit must be/]
  ]
  for (const [situation, argv, code, sentence] of scenarios) {
    const at = argv.indexOf('--database') + 1
    const result = await cli(['serve', '--port', '0', ...argv.map((text, i) => i === at && at > 0 ? join(folder, text) : text)])
    t.equal(result.code, code, situation)
    t.match(result.err.trimEnd().split('\n').at(-1), sentence, situation)
    t.notMatch(result.err, /\n {4}at /, situation)
    t.equal(result.out, '', situation)
  }
})
