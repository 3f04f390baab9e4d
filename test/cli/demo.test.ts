import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { allRows, fill } from '../helpers/test-server.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { openFile } from './sqlite-files.js'
import { cli, serve } from './run-cli.js'
import { readCurl } from './printed-curl.js'

const sendPrinted = async (printed: string) => await readCurl(printed).send()

t.test('serve --demo: the printed curl updates the contact and the copies of its name', async (t) => {
  const file = join(t.testdir(), 'demo.db')
  const { out, err, stop } = await serve(t, ['--demo', '--database', file])
  t.equal(err(), '', 'no line of the log stands before the curl')
  const reply = await sendPrinted(out())
  t.equal(reply.status, 200)
  const { contact, success } = await reply.json() as { contact: Record<string, unknown>, success: boolean }
  t.equal(success, true)
  t.match(contact, {
    _id: 'maria', name: 'Maria Silva', emails: [{ address: 'maria.silva@example.com' }], contactManager: 'ann',
    customFields: { plan: 'gold', customerNumber: '12345' }, unknown: false, channels: [{ visitor: { visitorId: 'visitor-1' } }]
  })
  t.equal(await stop(), 0)

  const database = openFile(t, file)
  t.strictSame(database.prepare(`
    SELECT room.fname AS room, subscription.fname AS subscription, inquiry.name AS inquiry
    FROM omnichannel_room AS room, omnichannel_subscription AS subscription, omnichannel_inquiry AS inquiry`).all(),
  [{ room: 'Maria Silva', subscription: 'Maria Silva', inquiry: 'Maria Silva' }])
  t.strictSame(database.prepare('SELECT required, regexp <> \'\' AS pattern FROM omnichannel_custom_field ORDER BY required').all(),
    [{ required: 0, pattern: 1 }, { required: 1, pattern: 1 }])
})

t.test('the documentation page: its examples work with the printed user and token', async (t) => {
  const { url, out } = await serve(t, ['--demo', '--database', join(t.testdir(), 'demo.db')])
  const { paths, components } = await (await fetch(`${url}/documentation/json`)).json() as OpenApi
  const [[path, { post }]] = Object.entries(paths) as [[string, OpenApi['paths'][string]]]
  const [, user, token] = /userId (\S+) and this authToken:\n\n(\S+)\n/.exec(out())!
  const { userId, authToken } = components.securitySchemes
  for (const [type, { examples }] of Object.entries(post.requestBody.content)) {
    t.ok(Object.keys(examples).length > 0, type)
    for (const [name, { value }] of Object.entries(examples)) {
      const body = type === 'application/json' ? JSON.stringify(value) : String(new URLSearchParams(value))
      const reply = await fetch(url + path, { method: 'POST', headers: { [userId.name]: user!, [authToken.name]: token!, 'content-type': type }, body })
      t.equal(reply.status, 200, name)
      t.match(await reply.json(), { contact: { phones: [{ phoneNumber: '+49 30 901820' }] } })
    }
  }
})

interface OpenApi {
  paths: Record<string, { post: { requestBody: { content: Record<string, Media> } } }>
  components: { securitySchemes: Record<'userId' | 'authToken', { name: string }> }
}

interface Media {
  examples: Record<string, { value: Record<string, string> }>
}

t.test('a second start: keeps the contact, and its new token replaces the old one', async (t) => {
  const file = join(t.testdir(), 'demo.db')
  const first = await serve(t, ['--demo', '--database', file])
  await sendPrinted(first.out())
  await first.stop('SIGINT')
  const second = await serve(t, ['--demo', '--database', file])
  t.match(await (await fetch(`${second.url}/health`)).json(), { status: 'ok' })
  t.equal((await sendPrinted(second.out())).status, 200)
  t.equal((await sendPrinted(first.out().replaceAll(first.url, second.url))).status, 401)
  await second.stop()
  const database = openFile(t, file)
  t.equal(database.prepare('SELECT version FROM omnichannel_contact').pluck().get(), 3)
})

t.test('a port that is taken: the token of the running demo stays valid', async (t) => {
  const file = join(t.testdir(), 'demo.db')
  const running = await serve(t, ['--demo', '--database', file])
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const port = String((taken.address() as AddressInfo).port)
  t.equal((await cli(['serve', '--demo', '--database', file, '--port', port])).code, 1)
  t.equal((await sendPrinted(running.out())).status, 200)
})

t.test('a database with other data: refused, also if it has a contact maria and a user ann as the demo has', async (t) => {
  const file = join(t.testdir(), 'own.db')
  await (await serve(t, ['--database', file])).stop()
  const database = openFile(t, file)
  await fill(sqliteDb(database))
  const checkRefused = async () => {
    const before = await allRows(sqliteDb(database))
    const { code, err } = await cli(['serve', '--demo', '--database', file, '--port', '0'])
    t.equal(code, 1)
    t.match(err, /own\.db holds other data than the demo: leave --demo out, or name a new file with --database\n$/)
    t.strictSame(await allRows(sqliteDb(database)), before)
  }
  await checkRefused()
  for (const table of ['omnichannel_contact', 'omnichannel_user']) {
    database.exec(`DELETE FROM ${table}`)
    await checkRefused()
  }
})

t.test('no --database: the file is omnichannel-demo.db in the current folder', async (t) => {
  // This is not a database, so the command ends with an error that names the file.
  const folder = t.testdir({ 'omnichannel-demo.db': 'this is not a database '.repeat(100) })
  const before = process.cwd()
  t.teardown(() => process.chdir(before))
  process.chdir(folder)
  t.strictSame(await cli(['serve', '--demo', '--port', '0'], { env: { OMNICHANNEL_DATABASE: 'other.db' } }),
    { code: 1, out: '', err: 'The database file omnichannel-demo.db is not a SQLite database\n' })
})
