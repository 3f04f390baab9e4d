// The address that a call counts for.
//
//   npx tap --disable-coverage examples/rate-limit.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemo, buildApp } from './rate-limit.js'

interface Call { from?: string, remote?: string, user?: string, token?: string }

/** Calls as often as a minute allows, and once more; returns the statuses. */
async function call (t: Test, callOf: (index: number) => Call): Promise<{ statuses: number[], names: unknown[] }> {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemo(database)
  const statuses = []
  for (let index = 1; index <= 11; index++) {
    const { from, remote = '127.0.0.1', user = 'ann', token = 's3cret' } = callOf(index)
    const reply = await app.inject({
      method: 'POST',
      url: '/api/v1/omnichannel/contacts.update',
      remoteAddress: remote,
      headers: { ...from !== undefined && { 'x-forwarded-for': from }, 'x-user-id': user, 'x-auth-token': token },
      payload: { contactId: 'maria', name: `Maria ${index}` }
    })
    statuses.push(reply.statusCode)
  }
  return { statuses, names: database.prepare('SELECT name FROM omnichannel_contact').pluck().all() }
}

const ten = (status: number): number[] => Array.from({ length: 10 }, () => status)

const scenarios: Record<string, [callOf: (index: number) => Call, statuses: number[], name: string]> = {
  'one address, through the proxy: ten calls': [() => ({ from: '203.0.113.7' }), [...ten(200), 429], 'Maria 10'],
  'eleven addresses, through the proxy: each has its own limit': [(index) => ({ from: `203.0.113.${index}` }), [...ten(200), 200], 'Maria 11'],
  'invented addresses before the one that the proxy adds: ten calls':
    [(index) => ({ from: `198.51.100.${index}, 203.0.113.7` }), [...ten(200), 429], 'Maria 10'],
  'invented addresses, past the proxy: ten calls':
    [(index) => ({ remote: '203.0.113.7', from: `198.51.100.${index}` }), [...ten(200), 429], 'Maria 10'],
  'guessed tokens: ten calls': [(index) => ({ from: '203.0.113.7', token: `guess ${index}` }), [...ten(401), 429], 'Maria'],
  'guessed users: ten calls': [(index) => ({ from: '203.0.113.7', user: `user ${index}` }), [...ten(401), 429], 'Maria'],
  'many addresses of one IPv6 network: ten calls': [(index) => ({ from: `2001:db8::${index}` }), [...ten(200), 429], 'Maria 10']
}

for (const [name, [callOf, statuses, last]] of Object.entries(scenarios)) {
  t.test(name, async (t) => { t.strictSame(await call(t, callOf), { statuses, names: [last] }) })
}

t.test('X-RateLimit-Reset: the time in milliseconds, on each call and on the 429', async (t) => {
  const app = await buildApp(new Database(':memory:'))
  t.teardown(async () => { await app.close() })
  const start = Date.now()
  for (let index = 1; index <= 11; index++) {
    const { statusCode, headers } = await app.inject({ method: 'POST', url: '/api/v1/omnichannel/contacts.update', payload: {} })
    t.equal(statusCode, index > 10 ? 429 : 401)
    const left = Number(headers['x-ratelimit-reset']) - start
    t.ok(left > 50_000 && left <= 62_000 + Date.now() - start, `call ${index}: a minute from now, ${left} ms`)
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
