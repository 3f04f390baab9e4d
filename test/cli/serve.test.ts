import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { createProgram } from '../../src/cli/command-line.js'
import { as, path } from '../helpers/test-server.js'
import { until } from '../helpers/waiting.js'
import { openFile } from './sqlite-files.js'
import { cli, serve, serveFile, untilReceived, update } from './run-cli.js'
import { openRawConnection, rawUpdate } from './start-server.js'

t.test('a new file: created, served, and healthy', async (t) => {
  const { url, stop, database } = await serveFile(t)
  t.strictSame(await (await fetch(`${url}/health`)).json(), { status: 'ok' })
  t.equal(database.pragma('journal_mode', { simple: true }), 'wal')
  const reply = await update(url, { contactId: 'maria', name: 'Maria Silva' })
  t.equal(reply.status, 200)
  t.equal(database.prepare('SELECT fname FROM omnichannel_room WHERE id = ?').pluck().get('room-1'), 'Maria Silva')
  t.equal(await stop(), 0)
})

t.test('the documentation page: shows the operation, and / redirects to it', async (t) => {
  const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db')])
  const page = await fetch(url)
  t.equal(page.url, `${url}/documentation`)
  t.match(page.headers.get('content-type'), 'text/html')
  t.match(await page.text(), /<title>\w/)
  t.match(await (await fetch(`${url}/documentation/static/swagger-initializer.js`)).text(), 'SwaggerUIBundle')
  const document = await (await fetch(`${url}/documentation/json`)).json() as { paths: object }
  t.strictSame(Object.keys(document.paths), [path])
})

t.test('a program that brings its own addon, as the executable does: serve uses it', async (t) => {
  // better-sqlite3 has its addon in one of these places, depending on its version.
  const require = createRequire(import.meta.url)
  const folder = dirname(require.resolve('better-sqlite3/package.json'))
  const addon = ['build/Release/better_sqlite3.node', `prebuilds/${process.platform}-${process.arch}.node`]
    .map((file) => join(folder, file)).find(existsSync)!
  const sqlite = require(addon) as object
  const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db')], { loadAddon: () => sqlite })
  t.equal((await (await fetch(`${url}/health`)).text()), '{"status":"ok"}')
})

t.test('a blank option or variable: refused, and nothing listens', async (t) => {
  const { options } = createProgram({ ...process, readAsset: () => Buffer.of() }).commands.find((command) => command.name() === 'serve')!
  const optionsWithValue = options.filter(({ required, optional }) => required || optional)
  t.equal(optionsWithValue.length, 8)
  for (const blank of ['', ' ']) {
    for (const { long, envVar } of optionsWithValue) {
      const calls = [await cli(['serve', `${long}=${blank}`]), await cli(['serve'], { env: { [envVar!]: blank } })]
      for (const { code, out, err } of calls) {
        t.strictSame([code, out], [2, ''], `${long} or ${envVar}`)
        t.match(err, new RegExp(`^Option '${long} .*' is invalid: .*; see serve --help\n$`))
      }
    }
  }
  t.notOk(existsSync('omnichannel.db'))
})

t.test('--trust-proxy: the limit counts the address that a trusted proxy names', async (t) => {
  const scenarios: Array<[situation: string, argv: string[], forwardedFor: string[], statuses: number[]]> = [
    ['no --trust-proxy: the proxy is the caller', [], ['192.0.2.1', '192.0.2.2'], [401, 429]],
    ['each address has its own limit', ['--trust-proxy'], ['192.0.2.1', '192.0.2.2', '192.0.2.1'], [401, 401, 429]],
    ['addresses that the caller has added do not count', ['--trust-proxy'], ['198.51.100.1, 192.0.2.1', '198.51.100.2, 192.0.2.1'], [401, 429]],
    ['a proxy in a trusted network', ['--trust-proxy', '10.0.0.1,127.0.0.0/8'], ['192.0.2.1', '192.0.2.2'], [401, 401]],
    ['a proxy that is not trusted', ['--trust-proxy', '10.0.0.1,fd00::/8'], ['192.0.2.1', '192.0.2.2'], [401, 429]]
  ]
  for (const [situation, argv, forwardedFor, expected] of scenarios) {
    const { url } = await serve(t, ['--database', join(t.testdir(), 'a.db'), '--rate-limit', '1', ...argv])
    const statuses = []
    for (const addresses of forwardedFor) statuses.push((await update(url, {}, { ...as('ann'), 'x-forwarded-for': addresses })).status)
    t.strictSame(statuses, expected, situation)
  }
})

t.test('a request on an open connection while the server closes: answered as usual', async (t) => {
  const server = await serveFile(t, ['--log-level', 'info'])
  const { stop, port, database } = server
  database.exec('BEGIN IMMEDIATE')
  const { socket, closed } = await openRawConnection(port)
  socket.write(rawUpdate('{"contactId":"maria","name":"Maria Silva"}'))
  await untilReceived(server, 1)
  const code = stop()
  socket.write(rawUpdate('{"contactId":"nobody"}'))
  await untilReceived(server, 2)
  const isRefused = async (): Promise<boolean> => {
    try {
      (await openRawConnection(port)).socket.destroy()
      return false
    } catch {
      return true
    }
  }
  await until(isRefused)
  database.exec('COMMIT')
  const [, first, second] = (await closed).split('HTTP/1.1 ')
  t.match(first, /^200 .*"name":"Maria Silva"/s)
  t.match(second, /^400 .*connection: close\r\n.*\r\n\r\n\{"success":false,"error":"error-contact-not-found"\}$/is)
  t.equal(await code, 0)
})

t.test('invalid HTTP: refused, and logged without its bytes at level trace', async (t) => {
  const { port, err } = await serve(t, ['--database', ':memory:', '--log-level', 'trace'])
  const scenarios: Array<[situation: string, text: string, answer: RegExp]> = [
    ['an invalid header', rawUpdate('{}', 'No Header\x00\r\n'), /^HTTP\/1\.1 400 Bad Request\r\n.*\{"success":false,"error":"Bad Request"\}$/s],
    ['a header that is too long', rawUpdate('{}', `X-Long: ${'x'.repeat(20_000)}\r\n`), /^HTTP\/1\.1 431 .*"error":"Request Header Fields Too Large"\}$/s]
  ]
  for (const [situation, text, answer] of scenarios) {
    const { socket, closed } = await openRawConnection(port)
    socket.write(text)
    t.match(await closed, answer, situation)
  }
  t.match(err(), '"reason":"Parse Error: Invalid header token","msg":"client error"')
  const token = Buffer.from('token-of-ann')
  const asText = token.toString()
  const asNumbers = [...token].join()
  const asHex = token.toString('hex')
  for (const form of [asText, asNumbers, asHex]) t.notMatch(err(), form)
})

t.test('a connection that is reset: not logged as a client error', async (t) => {
  const { url, port, err } = await serve(t, ['--database', ':memory:', '--log-level', 'trace'])
  const { socket } = await openRawConnection(port)
  socket.write('POST / HTTP/1.1\r\n')
  // This request came later and is answered, so the server has read the unfinished one.
  t.equal((await fetch(`${url}/health`)).status, 200)
  socket.resetAndDestroy()
  t.equal((await fetch(`${url}/health`)).status, 200)
  t.notMatch(err(), 'client error')
})

t.test('a signal: waiting updates are answered first, and the listeners are removed', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const server = await serveFile(t, ['--log-level', 'info'])
    const { url, stop, listenedSignals, database } = server
    database.exec('BEGIN IMMEDIATE')
    const reply = update(url, { contactId: 'maria', emails: ['waited@example.com'] })
    await untilReceived(server, 1)
    const start = performance.now()
    const code = stop(signal)
    database.exec('COMMIT')
    t.equal((await reply).status, 200)
    t.equal(await code, 0)
    t.ok(performance.now() - start < 5000, 'without waiting for the keep-alive connection')
    t.equal(database.prepare("SELECT address FROM omnichannel_contact_email WHERE contact_id = 'maria'").pluck().get(), 'waited@example.com')
    t.strictSame(listenedSignals(), [])
  }
})

t.test('a server that cannot start: one sentence, and the exit code', async (t) => {
  const folder = t.testdir({ 'empty.db': '', folder: {} })
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo

  const inFolder = (name: string): string => join(folder, name)
  const scenarios: Array<[situation: string, argv: string[], code: number, sentence: RegExp]> = [
    ['port taken', ['--database', inFolder('empty.db'), '--port', `${port}`], 1, /^Port \d+ of 127\.0\.0\.1 is taken: choose another with --port$/],
    ['address of another machine', ['--database', inFolder('empty.db'), '--host', '203.0.113.1'], 1, /^Cannot listen on port 0 of 203\.0\.113\.1: /],
    ['a folder', ['--database', inFolder('folder')], 1, /^The database file .*folder is a folder$/],
    ['no such folder', ['--database', inFolder('none/a.db')], 1, /^The database file .*a\.db cannot be created, because its folder does not exist$/],
    ['port not a number', ['--port', 'http'], 2, /^Option '--port <PORT>' argument 'http' is invalid: it must be a whole number from 0 to 65535; see serve --help$/],
    ['port too large', ['--port', '65536'], 2, /'65536' is invalid/],
    ['unknown log level', ['--log-level', 'loud'], 2, /'loud' is invalid: allowed choices are fatal, error, .*, silent; see serve --help$/],
    ['negative limit', ['--rate-limit=-1'], 2, /'-1' is invalid: it must be a whole number from 0; /],
    ['proxy by name', ['--trust-proxy', 'nginx'], 2, /'nginx' is invalid: it must be addresses, /],
    ['a list that ends in a comma', ['--trust-proxy', '10.0.0.1,'], 2, /'10\.0\.0\.1,' is invalid/],
    ['network too large', ['--trust-proxy', '10.0.0.0/33'], 2, /is invalid/]
  ]
  for (const [situation, argv, code, sentence] of scenarios) {
    const result = await cli(['serve', '--port', '0', ...argv])
    t.equal(result.code, code, situation)
    t.match(result.err.trimEnd().split('\n').at(-1), sentence, situation)
    t.notMatch(result.err, /\n {4}at /, `${situation}: no stack`)
    t.equal(result.out, '', situation)
  }
})

t.test('serve cannot listen: a new database file is removed, unless another program has opened it', async (t) => {
  const folder = t.testdir({ 'empty.db': '' })
  const start = async (file: string) => await cli(['serve', '--host', '203.0.113.1', '--log-level', 'silent', '--database', join(folder, file)])
  t.match(await start('new.db'), { code: 1, err: /^Cannot listen/ })
  t.strictSame(readdirSync(folder), ['empty.db'])
  t.match(await start('empty.db'), { code: 1, err: /^Cannot listen/ })
  t.strictSame(readdirSync(folder), ['empty.db'])

  const failing = start('used.db')
  // `until` pauses for a millisecond, and could miss the file.
  while (!existsSync(join(folder, 'used.db'))) await new Promise((resolve) => setImmediate(resolve))
  const other = openFile(t, join(folder, 'used.db'))
  other.pragma('journal_mode = WAL')
  other.exec('CREATE TABLE theirs (id INTEGER)')
  t.match(await failing, { code: 1 })
  t.strictSame(readdirSync(folder).filter((file) => file.endsWith('.db')), ['empty.db', 'used.db'])
})
