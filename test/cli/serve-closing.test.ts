// SIGTERM while clients are connected.

import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { as, path } from '../helpers/test-server.js'
import { until } from '../helpers/waiting.js'
import { serveFile, untilReceived } from './run-cli.js'
import { openRawConnection, rawUpdate } from './start-server.js'

/** Sends an update over a keep-alive connection. Resolves to the status and the header Connection. */
async function update (url: string, agent: Agent): Promise<{ status: number | undefined, connection: string | undefined }> {
  return await new Promise((resolve, reject) => {
    const call = request(url + path, { method: 'POST', agent, headers: { 'content-type': 'application/json', ...as('ann') } }, (reply) => {
      reply.resume().on('end', () => { resolve({ status: reply.statusCode, connection: reply.headers.connection }) })
    })
    call.on('error', reject)
    call.end(JSON.stringify({ contactId: 'maria', name: `Maria ${Math.random()}` }))
  })
}

t.test('50 keep-alive connections go on sending: each gets Connection: close, and none is reset', async (t) => {
  const { url, stop } = await serveFile(t)
  let answered = 0
  const clients = Array.from({ length: 50 }, async (_, number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (;;) {
      const { status, connection } = await update(url, agent)
      t.equal(status, 200)
      answered++
      if (connection === 'close') return
      // The clients send at different times.
      await pause(number * 4)
    }
  })
  await until(() => answered >= 100)
  const code = stop()
  await Promise.all(clients)
  t.equal(await code, 0)
})

t.test('50 clients connect again at once: their requests are answered or refused, and none is reset', async (t) => {
  const { url, stop } = await serveFile(t)
  let answered = 0
  const clients = Array.from({ length: 50 }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (;;) {
      t.equal((await update(url, agent)).status, 200)
      answered++
    }
  })
  await until(() => answered >= 200)
  const code = stop()
  const results = await Promise.allSettled(clients)
  t.strictSame(new Set(results.map((result) => (result as { reason: NodeJS.ErrnoException }).reason.code)), new Set(['ECONNREFUSED']))
  t.equal(await code, 0)
})

t.test('an idle connection: closed a second later, and the server ends', async (t) => {
  const { port, stop } = await serveFile(t)
  const { socket, closed } = await openRawConnection(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => socket.bytesRead > 0)
  t.equal(await stop(), 0)
  t.match(await closed, /^HTTP\/1\.1 200 OK\r\n.*\r\nConnection: keep-alive\r\n/s)
})

t.test('pipelined requests: all are answered, and the last has Connection: close', async (t) => {
  const server = await serveFile(t, ['--log-level', 'info'])
  const { port, stop, database } = server
  const sent = rawUpdate('{"contactId":"maria","name":"Maria Silva"}')
  const { socket, closed } = await openRawConnection(port)
  database.exec('BEGIN IMMEDIATE')
  socket.write(sent.repeat(2))
  await untilReceived(server, 2)
  const code = stop()
  socket.write(sent.repeat(3))
  await untilReceived(server, 5)
  database.exec('COMMIT')
  const answers = (await closed).split('HTTP/1.1 ').slice(1)
  t.strictSame(answers.map((text) => text.slice(0, 3)), ['200', '200', '200', '200', '200'])
  t.strictSame(answers.map((text) => /^connection: close\r$/mi.test(text)), [false, false, false, false, true])
  t.equal(await code, 0)
})
