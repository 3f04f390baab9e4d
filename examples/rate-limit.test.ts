// The address that a call counts for.
//
//   npx tap --disable-coverage examples/rate-limit.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp } from './rate-limit.js'

interface Call {
  /** The header X-Forwarded-For. */
  forwardedFor?: string
  /** The address of the connection. Default: the proxy on this machine. */
  remoteAddress?: string
  user?: string
  token?: string
}

/** Makes eleven calls, one more than a minute allows. Returns the statuses, and the name of the contact afterwards. */
async function callElevenTimes (t: Test, callOf: (index: number) => Call): Promise<{ statuses: number[], name: unknown }> {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  const statuses = []
  for (let index = 1; index <= 11; index++) {
    const { forwardedFor, remoteAddress = '127.0.0.1', user = 'ann', token = 's3cret' } = callOf(index)
    const reply = await app.inject({
      method: 'POST',
      url: '/api/v1/omnichannel/contacts.update',
      remoteAddress,
      headers: { ...forwardedFor !== undefined && { 'x-forwarded-for': forwardedFor }, 'x-user-id': user, 'x-auth-token': token },
      payload: { contactId: 'maria', name: `Maria ${index}` }
    })
    statuses.push(reply.statusCode)
  }
  return { statuses, name: database.prepare('SELECT name FROM omnichannel_contact').pluck().get() }
}

const tenTimes = (status: number): number[] => Array.from({ length: 10 }, () => status)
const tenUpdates = { statuses: [...tenTimes(200), 429], name: 'Maria 10' }
const tenRefusals = { statuses: [...tenTimes(401), 429], name: 'Maria' }

const scenarios: Record<string, [callOf: (index: number) => Call, expected: { statuses: number[], name: string }]> = {
  'one address, through the proxy: ten calls': [() => ({ forwardedFor: '203.0.113.7' }), tenUpdates],
  'eleven addresses, through the proxy: each has its own limit':
    [(index) => ({ forwardedFor: `203.0.113.${index}` }), { statuses: [...tenTimes(200), 200], name: 'Maria 11' }],
  'invented addresses before the one that the proxy adds: ten calls':
    [(index) => ({ forwardedFor: `198.51.100.${index}, 203.0.113.7` }), tenUpdates],
  'invented addresses, past the proxy: ten calls':
    [(index) => ({ remoteAddress: '203.0.113.7', forwardedFor: `198.51.100.${index}` }), tenUpdates],
  'guessed tokens: ten calls': [(index) => ({ forwardedFor: '203.0.113.7', token: `guess ${index}` }), tenRefusals],
  'guessed users: ten calls': [(index) => ({ forwardedFor: '203.0.113.7', user: `user ${index}` }), tenRefusals],
  'many addresses of one IPv6 network: ten calls': [(index) => ({ forwardedFor: `2001:db8::${index}` }), tenUpdates]
}

for (const [name, [callOf, expected]] of Object.entries(scenarios)) {
  t.test(name, async (t) => { t.strictSame(await callElevenTimes(t, callOf), expected) })
}

t.test('X-RateLimit-Reset: the time in milliseconds, on each call and on the 429', async (t) => {
  const app = await buildApp(new Database(':memory:'))
  t.teardown(async () => { await app.close() })
  const start = Date.now()
  for (let index = 1; index <= 11; index++) {
    const { statusCode, headers } = await app.inject({ method: 'POST', url: '/api/v1/omnichannel/contacts.update', payload: {} })
    t.equal(statusCode, index > 10 ? 429 : 401)
    const resetMs = Number(headers['x-ratelimit-reset']) - start
    t.ok(resetMs > 50_000 && resetMs <= 62_000 + Date.now() - start, `call ${index}: a minute from now, ${resetMs} ms`)
    t.match(headers, { 'x-ratelimit-limit': '10', 'x-ratelimit-remaining': String(Math.max(0, 10 - index)) })
    if (index > 10) t.match(headers['retry-after'], /^\d\d$/, 'in seconds')
  }
})

t.test('other routes: no limit, and the server is not under pressure', async (t) => {
  const app = await buildApp(new Database(':memory:'))
  t.teardown(async () => { await app.close() })
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await app.inject('/elsewhere')).statusCode))
  t.strictSame([...new Set(statuses)], [404])
  t.equal(app.isUnderPressure(), false)
})
