// Limits of `serve`: requests, connections, time and memory.

import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { defaultTimeouts } from '../../src/cli/serve/server.js'
import { as, path } from '../helpers/test-server.js'
import { until } from '../helpers/waiting.js'
import { readAsset, serve, serveFile } from './run-cli.js'
import { openRawConnection, rawUpdate, startServer } from './start-server.js'

t.test('docs/operations.md: names the timeouts', async (t) => {
  const text = readFileSync('docs/operations.md', 'utf8')
  for (const time of Object.values(defaultTimeouts)) t.match(text, new RegExp(`\\b${time / 1000} seconds`))
})

/** Sends a page, a file, an update without a token, and a wrong path. The limit is four requests. */
async function useUpLimit (t: Test) {
  const { app } = await startServer(t, { rateLimit: 4 })
  const replies = [
    await app.inject('/documentation'),
    await app.inject('/documentation/static/swagger-ui.css'),
    await app.inject({ method: 'POST', url: path }),
    await app.inject('/nothing')
  ]
  return { app, replies, resetTimes: replies.map(({ headers }) => Number(headers['x-ratelimit-reset'])) }
}

t.test('--rate-limit: counts pages, files, updates and wrong paths, and answers with the headers of Rocket.Chat', async (t) => {
  const before = Date.now()
  const { replies, resetTimes } = await useUpLimit(t)
  t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 200, 401, 404])
  t.strictSame(replies.map(({ headers }) => headers['x-ratelimit-limit']), ['4', '4', '4', '4'])
  t.strictSame(replies.map(({ headers }) => headers['x-ratelimit-remaining']), ['3', '2', '1', '0'])
  const [resetTime = 0] = resetTimes
  t.ok(resetTime >= before + 60_000 && resetTime <= Date.now() + 60_000, `${resetTime}`)
  t.equal(new Set(resetTimes).size, 1, 'the same reset time')
})

t.test('--rate-limit is used up: 429 for all paths but /health', async (t) => {
  const { app, resetTimes } = await useUpLimit(t)
  for (const url of ['/documentation', '/documentation/static/swagger-ui.css', '/nothing', path]) {
    const reply = await app.inject({ method: url === path ? 'POST' : 'GET', url, headers: as('ann') })
    const { headers } = reply
    t.equal(reply.statusCode, 429, url)
    const seconds = Number(headers['retry-after'])
    t.ok(seconds > 55 && seconds <= 60)
    t.equal(Number(headers['x-ratelimit-reset']), resetTimes[0])
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

  const realNow = performance.now.bind(performance)
  t.teardown(() => { performance.now = realNow })
  performance.now = () => realNow() + 60_001
  t.equal((await call()).statusCode, 404, 'a minute later')
})

t.test('--rate-limit: keeps ten thousand addresses, and drops the least recently seen', async (t) => {
  const { app } = await startServer(t, { rateLimit: 1 })
  const from = async (remoteAddress: string) => (await app.inject({ url: '/nothing', remoteAddress })).statusCode
  t.equal(await from('192.0.2.1'), 404)
  t.equal(await from('192.0.2.2'), 404)
  t.equal(await from('192.0.2.1'), 429)
  for (let count = 0; count < 9999; count++) await from(`10.0.${count >> 8}.${count & 255}`)
  t.equal(await from('192.0.2.1'), 429)
  t.equal(await from('192.0.2.2'), 404)
})

t.test('--max-connections: more connections are closed, with one line in the log', async (t) => {
  const { port, err } = await serve(t, ['--database', ':memory:', '--max-connections', '2'])
  const [one] = [await openRawConnection(port), await openRawConnection(port)]
  for (let more = 0; more < 2; more++) t.equal(await (await openRawConnection(port)).closed, '')
  t.strictSame(err().match(/more connections than --max-connections/g), ['more connections than --max-connections'])
  one.socket.end()
  await one.closed
  const { socket, closed } = await openRawConnection(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(await closed, '{"status":"ok"}')
})

t.test('a client that does not finish its request: 408, and the connection is closed', async (t) => {
  const { port } = await startServer(t, { timeouts: { headers: 200, request: 600, check: 50 } })
  const headers = `POST ${path} HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\nX-Auth-Token: token-of-ann\r\nContent-Type: application/json\r\nContent-Length: 9\r\n`
  interface Scenario {
    /** What the client sends at once, and then every 100 ms. */
    sent: string
    repeated: string
    /** The answer must not come earlier. */
    timeoutMs: number
  }
  const scenarios: Record<string, Scenario> = {
    silence: { sent: '', repeated: '', timeoutMs: 200 },
    'half a line': { sent: 'GET / HT', repeated: '', timeoutMs: 200 },
    'headers without end': { sent: headers, repeated: 'X-More: 1\r\n', timeoutMs: 200 },
    'half a body': { sent: `${headers}\r\n{`, repeated: '', timeoutMs: 600 },
    'a slow body': { sent: `${headers}\r\n{`, repeated: ' ', timeoutMs: 600 }
  }
  await Promise.all(Object.entries(scenarios).map(async ([situation, { sent, repeated, timeoutMs }]) => {
    const start = performance.now()
    const { socket, closed } = await openRawConnection(port)
    if (sent !== '') socket.write(sent)
    const timer = setInterval(() => { if (repeated !== '') socket.write(repeated) }, 100)
    const answer = await closed
    clearInterval(timer)
    t.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n.*\r\n\r\n\{"success":false,"error":"Request Timeout"\}$/s, situation)
    t.ok(performance.now() - start >= timeoutMs - 20, `${situation}: not too early`)
  }))
})

t.test('an idle connection: closed', async (t) => {
  const { port } = await startServer(t, { timeouts: { keepAlive: 100 } })
  const { socket, closed } = await openRawConnection(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await closed, /^HTTP\/1\.1 200 OK\r\n.*"ok"\}$/s)
})

t.test('a connection whose client does not read: closed before all is sent', async (t) => {
  const { app, port } = await startServer(t, { timeouts: { idle: 300 } })
  const { socket, closed } = await openRawConnection(port)
  socket.pause()
  socket.write('GET /documentation/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50))
  const countConnections = promisify(app.server.getConnections.bind(app.server))
  await until(async () => await countConnections() === 0)
  socket.resume()
  const bundle = gunzipSync(readAsset('swagger-ui-bundle.js'))
  t.ok((await closed).length < 40 * bundle.length)
})

t.test('a thousand silent connections: closed, and the server answers meanwhile', async (t) => {
  const { url, port } = await startServer(t, { timeouts: { headers: 1000, check: 50 } })
  const all = await Promise.all(Array.from({ length: 1000 }, async () => await openRawConnection(port)))
  t.equal((await fetch(`${url}/health`)).status, 200)
  await Promise.all(all.map(async ({ closed }) => await closed))
  t.equal((await fetch(`${url}/health`)).status, 200)
})

t.test('a client that sends faster than it is answered: disconnected, and its waiting updates are not made', async (t) => {
  const { url, port, database } = await serveFile(t, ['--log-level', 'silent'])
  const body = `{"contactId":"maria","name":"${'x'.repeat(200_000)}"}`
  const withLength = rawUpdate(body)
  const chunked = withLength.replace(`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked')
    .replace(body, `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
  for (const request of [withLength, chunked]) {
    database.exec('BEGIN IMMEDIATE')
    const { socket, closed } = await openRawConnection(port)
    for (let sent = 0; sent < 100 && !socket.destroyed; sent++) {
      if (!socket.write(request)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
    }
    t.equal(await closed, '')
    database.exec('COMMIT')
  }
  t.equal((await fetch(`${url}/health`)).status, 200)
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Maria')
})

t.test('a thousand pipelined requests: answered in order', async (t) => {
  const { port } = await startServer(t)
  const { socket, closed } = await openRawConnection(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000) + 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  const answers = (await closed).split('HTTP/1.1 ').slice(1).map((text) => text.slice(0, 3))
  t.equal(answers.length, 1001)
  t.strictSame(new Set(answers.slice(0, -1)), new Set(['200']))
  t.equal(answers.at(-1), '302', 'the redirect from / to the documentation')
})
