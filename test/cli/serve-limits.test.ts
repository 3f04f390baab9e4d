// Limits of `serve`: requests, connections, time and memory.

import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import t from 'tap'
import { timeouts } from '../../src/cli/serve/server.js'
import { as, path } from '../helpers/build.js'
import { until } from '../helpers/waiting.js'
import { serve, serveFile } from './io.js'
import { startServer, talk } from './start-server.js'

t.test('docs/operations.md: names the timeouts', async (t) => {
  const text = readFileSync('docs/operations.md', 'utf8')
  for (const time of Object.values(timeouts)) t.match(text, new RegExp(`\\b${time / 1000} seconds`))
})

t.test('--rate-limit: counts pages, files, updates and wrong paths, and answers with the headers of Rocket.Chat', async (t) => {
  const { app } = await startServer(t, { rateLimit: 4 })
  const before = Date.now()
  const calls = [
    await app.inject('/documentation'),
    await app.inject('/documentation/static/swagger-ui.css'),
    await app.inject({ method: 'POST', url: path }),
    await app.inject('/nothing')
  ]
  t.strictSame(calls.map(({ statusCode }) => statusCode), [200, 200, 401, 404])
  t.strictSame(calls.map(({ headers }) => [headers['x-ratelimit-limit'], headers['x-ratelimit-remaining']]), [['4', '3'], ['4', '2'], ['4', '1'], ['4', '0']])
  const resets = calls.map(({ headers }) => Number(headers['x-ratelimit-reset']))
  t.ok(resets[0]! >= before + 60_000 && resets[0]! <= Date.now() + 60_000, `${resets[0]}`)
  t.equal(new Set(resets).size, 1, 'the same reset time')

  for (const url of ['/documentation', '/documentation/static/swagger-ui.css', '/nothing', path]) {
    const reply = await app.inject({ method: url === path ? 'POST' : 'GET', url, headers: as('ann') })
    const { headers } = reply
    t.equal(reply.statusCode, 429, url)
    const seconds = Number(headers['retry-after'])
    t.ok(seconds > 55 && seconds <= 60)
    t.equal(Number(headers['x-ratelimit-reset']), resets[0])
    t.equal(headers['x-ratelimit-remaining'], '0')
    t.strictSame(reply.json(), {
      success: false,
      error: `Error, too many requests. Please slow down. You must wait ${seconds} seconds before trying this endpoint again. [error-too-many-requests]`
    })
  }
  const health = await app.inject('/health')
  t.equal(health.statusCode, 200)
  t.notOk('x-ratelimit-limit' in health.headers)
})

t.test('--rate-limit while the clock is changed: the window stays a minute', async (t) => {
  const { app } = await startServer(t, { rateLimit: 1 })
  const call = async () => await app.inject('/nothing')
  t.equal((await call()).statusCode, 404)
  const { now } = Date
  t.teardown(() => { Date.now = now })
  for (const days of [-10, 10]) {
    Date.now = () => now() + days * 86_400_000
    const { statusCode, headers } = await call()
    t.equal(statusCode, 429)
    t.ok(Number(headers['retry-after']) <= 60, `retry-after: ${headers['retry-after']}`)
  }
  Date.now = now

  const passed = performance.now.bind(performance)
  t.teardown(() => { performance.now = passed })
  performance.now = () => passed() + 60_001
  t.equal((await call()).statusCode, 404, 'a minute later')
})

t.test('--rate-limit: keeps ten thousand addresses, and drops the least recently seen', async (t) => {
  const { app } = await startServer(t, { rateLimit: 1 })
  const from = async (remoteAddress: string) => (await app.inject({ url: '/nothing', remoteAddress })).statusCode
  t.equal(await from('192.0.2.1'), 404)
  t.equal(await from('192.0.2.2'), 404)
  t.equal(await from('192.0.2.1'), 429)
  for (let i = 0; i < 9999; i++) await from(`10.0.${i >> 8}.${i & 255}`)
  t.equal(await from('192.0.2.1'), 429)
  t.equal(await from('192.0.2.2'), 404)
})

t.test('--max-connections: more connections are closed, with one line in the log', async (t) => {
  const { port, err } = await serve(t, ['--database', ':memory:', '--max-connections', '2'])
  const [one] = [await talk(port), await talk(port)]
  for (let more = 0; more < 2; more++) t.equal(await (await talk(port)).closed, '')
  t.strictSame(err().match(/more connections than --max-connections/g), ['more connections than --max-connections'])
  one.socket.end()
  await one.closed
  const { socket, closed } = await talk(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(await closed, '{"status":"ok"}')
})

t.test('a client that does not finish its request: 408, and the connection is closed', async (t) => {
  const { port } = await startServer(t, { times: { headers: 200, request: 600, check: 50 } })
  const headers = `POST ${path} HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\nX-Auth-Token: token-of-ann\r\nContent-Type: application/json\r\nContent-Length: 9\r\n`
  const scenarios: Array<[situation: string, text: string, drip: string, from: number]> = [
    ['silence', '', '', 200], ['half a line', 'GET / HT', '', 200], ['headers without end', headers, 'X-More: 1\r\n', 200], ['half a body', `${headers}\r\n{`, '', 600],
    ['a body in drops', `${headers}\r\n{`, ' ', 600]
  ]
  await Promise.all(scenarios.map(async ([situation, text, drip, from]) => {
    const start = performance.now()
    const { socket, closed } = await talk(port)
    if (text !== '') socket.write(text)
    const dripping = setInterval(() => { if (drip !== '') socket.write(drip) }, 100)
    const said = await closed
    clearInterval(dripping)
    t.match(said, /^HTTP\/1\.1 408 Request Timeout\r\n.*\r\n\r\n\{"success":false,"error":"Request Timeout"\}$/s, situation)
    t.ok(performance.now() - start >= from - 20, `${situation}: not too early`)
  }))
})

t.test('an idle connection, or one whose client does not read: closed', async (t) => {
  const { app, port } = await startServer(t, { times: { keepAlive: 100, idle: 300 } })
  const kept = await talk(port)
  kept.socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await kept.closed, /^HTTP\/1\.1 200 OK\r\n.*"ok"\}$/s)

  const unread = await talk(port)
  unread.socket.pause()
  unread.socket.write('GET /documentation/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50))
  const count = promisify(app.server.getConnections.bind(app.server))
  await until(async () => await count() === 0)
  unread.socket.resume()
  t.ok((await unread.closed).length < 40 * 1_684_244)
})

t.test('a thousand silent connections: closed, and the server answers meanwhile', async (t) => {
  const { url, port } = await startServer(t, { times: { headers: 1000, check: 50 } })
  const all = await Promise.all(Array.from({ length: 1000 }, async () => await talk(port)))
  t.equal((await fetch(`${url}/health`)).status, 200)
  await Promise.all(all.map(async ({ closed }) => await closed))
  t.equal((await fetch(`${url}/health`)).status, 200)
})

t.test('a client that sends faster than it is answered: disconnected, and its waiting updates are not made', async (t) => {
  const { url, port, database } = await serveFile(t, ['--log-level', 'silent'])
  const request = (headers: string, body: string) => `POST ${path} HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\nX-Auth-Token: token-of-ann\r\nContent-Type: application/json\r\n${headers}\r\n${body}`
  const body = `{"contactId":"maria","name":"${'x'.repeat(200_000)}"}`
  const forms = [
    request(`Content-Length: ${body.length}\r\n`, body),
    request('Transfer-Encoding: chunked\r\n', `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
  ]
  for (const form of forms) {
    database.exec('BEGIN IMMEDIATE')
    const { socket, closed } = await talk(port)
    for (let sent = 0; sent < 100 && !socket.destroyed; sent++) if (!socket.write(form)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
    t.equal(await closed, '')
    database.exec('COMMIT')
  }
  t.equal((await fetch(`${url}/health`)).status, 200)
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Maria')
})

t.test('a thousand pipelined requests: answered in order', async (t) => {
  const { port } = await startServer(t)
  const { socket, closed } = await talk(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000) + 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  const answers = (await closed).split('HTTP/1.1 ').slice(1).map((text) => text.slice(0, 3))
  t.equal(answers.length, 1001)
  t.strictSame(new Set(answers.slice(0, -1)), new Set(['200']))
  t.equal(answers.at(-1), '302')
})
