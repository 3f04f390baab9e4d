// Sends the requests that a browser sends for a page of the allowed origin and for another page.
//
//   npx tap --disable-coverage examples/browser.test.ts

import Database from 'better-sqlite3'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { addDemoData, buildApp } from './browser.js'

const url = '/api/v1/omnichannel/contacts.update'
const origin = 'https://desk.example.com'
const known = { 'x-user-id': 'ann', 'x-auth-token': 's3cret' }

async function open (t: Test) {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  return {
    database,
    preflight: async (from: string): Promise<LightMyRequestResponse> => await app.inject({
      method: 'OPTIONS',
      url,
      headers: {
        origin: from,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,idempotency-key,if-match,x-auth-token,x-user-id'
      }
    }),
    update: async (headers: Record<string, string>, name: string): Promise<LightMyRequestResponse> =>
      await app.inject({ method: 'POST', url, headers: { origin, ...headers }, payload: { contactId: 'maria', name } })
  }
}

t.test('a preflight: allowed for a page of the desk with all headers of the endpoint, not for another page', async (t) => {
  const { preflight } = await open(t)
  const { headers } = await preflight(origin)
  t.equal(headers['access-control-allow-origin'], origin)
  t.match(headers['access-control-allow-methods'], /\bPOST\b/)
  for (const name of ['content-type', 'x-user-id', 'x-auth-token', 'if-match', 'idempotency-key']) {
    t.match(headers['access-control-allow-headers'], name)
  }
  t.equal((await preflight('https://elsewhere.example.com')).headers['access-control-allow-origin'], undefined)
})

t.test('answers and refusals: a page of the desk can read them and their headers', async (t) => {
  const { database, update } = await open(t)
  const done = await update(known, 'Maria Silva')
  const stale = await update({ ...known, 'if-match': '"1"' }, 'Marie')
  const refused = await update({}, 'Mallory')
  t.strictSame([done, stale, refused].map(({ statusCode }) => statusCode), [200, 412, 401])
  for (const { statusCode, headers } of [done, stale, refused]) {
    t.equal(headers['access-control-allow-origin'], origin, String(statusCode))
    t.equal(headers['access-control-expose-headers'], 'ETag, Idempotency-Replayed, Retry-After', String(statusCode))
    t.equal(headers['x-content-type-options'], 'nosniff', String(statusCode))
  }
  t.equal(done.headers.etag, '"2"')
  t.strictSame(database.prepare('SELECT name FROM omnichannel_contact').pluck().all(), ['Maria Silva'])
})
