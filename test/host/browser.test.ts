import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import t from '../helpers/engines.js'
import type { LightMyRequestResponse } from 'fastify'
import { as, build, lockMaria, path, type Setup } from '../helpers/test-server.js'

/** The same as in examples/browser.ts, as a test below checks. */
const exposedHeaders = ['ETag', 'Idempotency-Replayed', 'Retry-After']
const origin = 'https://desk.example.com'

/** Provokes answers with seven statuses, and checks that the plugin's own headers are on each. */
async function provokeAnswers (t: Test, setup: Setup): Promise<LightMyRequestResponse[]> {
  const { app, db, update } = await build(t, { ...setup, bodyLimit: 200, lockTimeout: 1000 })
  const send = async (body: unknown, headers: Record<string, string> = as('ann')): Promise<LightMyRequestResponse> =>
    await update(body, { ...headers, origin })
  const replies = [
    await send({ contactId: 'maria', name: 'Maria B.' }),
    await send({}),
    await send({ contactId: 'maria' }, {}),
    await send({ contactId: 'maria' }, as('nick')),
    await send({ contactId: 'maria', name: 'x'.repeat(300) })
  ]
  await lockMaria(db)
  replies.push(await send({ contactId: 'maria', name: 'X' }))
  await db.exec('ROLLBACK; DROP TABLE omnichannel_custom_field')
  replies.push(await send({ contactId: 'maria', customFields: {} }))
  t.strictSame(replies.map((reply) => reply.statusCode), [200, 400, 401, 403, 413, 503, 500])
  for (const reply of replies) {
    t.match(reply.headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
  }
  t.equal((await app.inject({ method: 'GET', url: path })).statusCode, 404)
  return replies
}

t.test('@fastify/cors: a page of the allowed origin can send requests and read every answer', async (t) => {
  const host: Setup['host'] = async (app) => { await app.register(cors, { origin: [origin], exposedHeaders }) }
  const { app, update } = await build(t, { host })
  const requestHeaders = 'content-type, idempotency-key, if-match, x-auth-token, x-user-id'
  const preflight = async (originOfPage: string): Promise<LightMyRequestResponse> => await app.inject({
    method: 'OPTIONS',
    url: path,
    headers: {
      origin: originOfPage,
      'access-control-request-method': 'POST',
      'access-control-request-headers': requestHeaders
    }
  })
  const allowed = await preflight(origin)
  t.equal(allowed.statusCode, 204)
  t.match(allowed.headers, {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': /POST/,
    'access-control-allow-headers': requestHeaders
  })
  t.equal((await preflight('https://elsewhere.example.com')).headers['access-control-allow-origin'], undefined)

  for (const { statusCode, headers } of await provokeAnswers(t, { host })) {
    t.equal(headers['access-control-allow-origin'], origin, String(statusCode))
    t.equal(headers['access-control-expose-headers'], exposedHeaders.join(', '), String(statusCode))
  }
  const headers = { ...as('ann'), origin, 'if-match': '"1"', 'idempotency-key': 'k' }
  await update({ contactId: 'maria', name: 'Marie' }, headers)
  const replay = await update({ contactId: 'maria', name: 'Marie' }, headers)
  t.match(replay.headers, { 'access-control-expose-headers': /ETag, Idempotency-Replayed/, etag: '"2"', 'idempotency-replayed': 'true' })
})

t.test('examples/browser.ts: exposes the headers that are tested here', async (t) => {
  t.match(readFileSync('examples/browser.ts', 'utf8'), `exposedHeaders: [${exposedHeaders.map((header) => `'${header}'`).join(', ')}]`)
})

t.test('@fastify/helmet: its headers are on every answer', async (t) => {
  for (const { statusCode, headers } of await provokeAnswers(t, { host: async (app) => { await app.register(helmet) } })) {
    t.equal(headers['x-content-type-options'], 'nosniff', String(statusCode))
    t.match(headers['content-security-policy'], /default-src 'self'/, String(statusCode))
    t.ok(headers['strict-transport-security'], String(statusCode))
  }
})
