// A caller who had the rights in an earlier update is not looked up before the body is read. The rights still decide each answer.

import type { FastifyReply } from 'fastify'
import { allRows, as, build, path, type Setup, type TestServer } from '../helpers/test-server.js'
import t, { dialectOf, sqlite } from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { forbidden, internalServerError, unauthorized } from '../helpers/refusals.js'
import { handlerTimeout, replaceHandlerTimeout, waitTurns } from '../helpers/waiting.js'

const update = { contactId: 'maria', name: 'Marie' }
const ownAuthenticate: Setup = { authenticate: () => ({ id: 'ann' }) }

/** Changes after which the caller may not update, and the answer. */
const changesOfRights: Record<string, [sql: string, status: number, answer: object, setup?: Setup]> = {
  'the user was deactivated': ["UPDATE omnichannel_user SET active = FALSE WHERE id = 'ann'", 401, unauthorized],
  'the token was deleted': ["DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", 401, unauthorized],
  'the token has expired': ["UPDATE omnichannel_auth_token SET expires_at = '2026-01-01T00:00:00.000Z' WHERE user_id = 'ann'", 401, unauthorized],
  'the role was deleted': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", 403, forbidden],
  'the role was deleted, beside an authenticate of the host,': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", 403, forbidden, ownAuthenticate]
}

/** Requests that are refused before their transaction, and the status if the caller has the rights. */
const refusals: Record<string, [status: number, send: (testServer: TestServer) => ReturnType<TestServer['post']>]> = {
  'JSON that is not valid': [400, async ({ post }) => await post('{')],
  'an unknown key': [400, async ({ post }) => await post('{"contactId":"maria","unknown":1}')],
  'a huge body': [413, async ({ post }) => await post('x'.repeat(100_000))],
  'an unsupported content type': [415, async ({ post }) => await post('<a/>', { 'content-type': 'text/xml' })],
  'an invalid If-Match': [400, async ({ update: send }) => await send(update, { ...as('ann'), 'if-match': 'x' })],
  'an invalid Idempotency-Key': [400, async ({ update: send }) => await send(update, { ...as('ann'), 'idempotency-key': '' })],
  'a hook of the host that refuses': [409, async ({ update: send }) => await send(update, { ...as('ann'), 'x-refuse': '409' })],
  'a hook of the host that refuses by the status of the reply': [409, async ({ update: send }) => await send(update, { ...as('ann'), 'x-refuse': 'reply' })]
}

async function buildWithHook (t: Parameters<typeof build>[0], setup: Setup = {}): Promise<TestServer> {
  return await build(t, {
    bodyLimit: 1000,
    ...setup,
    host: (app) => {
      app.addHook('preHandler', async ({ headers: { 'x-refuse': refuse } }, reply) => {
        if (refuse === 'reply') void reply.code(409)
        if (refuse !== undefined) throw Object.assign(new Error('of the host'), refuse === '409' && { statusCode: 409 })
      })
    }
  })
}

for (const [refusal, [expected, send]] of Object.entries(refusals)) {
  t.test(`${refusal}: refused as it is if the caller has the rights`, async (t) => {
    const testServer = await buildWithHook(t)
    t.equal((await testServer.update(update)).statusCode, 200)
    const before = await allRows(testServer.db)
    t.equal((await send(testServer)).statusCode, expected === 415 ? 400 : expected)
    t.strictSame(await allRows(testServer.db), before)
  })

  for (const [change, [sql, status, answer, setup]] of Object.entries(changesOfRights)) {
    t.test(`${refusal}: ${status} if ${change} after the last update`, async (t) => {
      const testServer = await buildWithHook(t, setup)
      t.equal((await testServer.update(update)).statusCode, 200)
      await testServer.db.exec(sql)
      const before = await allRows(testServer.db)
      // The second request finds that the caller is not known any more.
      for (let request = 0; request < 2; request++) {
        const reply = await send(testServer)
        t.strictSame([reply.statusCode, reply.json()], [status, answer])
      }
      t.strictSame(await allRows(testServer.db), before)
    })
  }
}

t.test('the rights cannot be read before a refusal: 500, nothing written', async (t) => {
  const { update: send, post, db } = await build(t)
  t.equal((await send(update)).statusCode, 200)
  await db.exec('ALTER TABLE omnichannel_auth_token RENAME TO moved')
  const before = await allRows(db)
  const reply = await post('{')
  t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.strictSame(await allRows(db), before)
})

t.test('the rights cannot be read before a refusal of a hook that has set the status: 500, nothing written', async (t) => {
  const { update: send, db } = await buildWithHook(t)
  t.equal((await send(update)).statusCode, 200)
  await db.exec('ALTER TABLE omnichannel_auth_token RENAME TO moved')
  const before = await allRows(db)
  const reply = await send(update, { ...as('ann'), 'x-refuse': 'reply' })
  t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.strictSame(await allRows(db), before)
})

/** What other code may do while the rights are read. */
const otherAnswers: Record<string, (reply: FastifyReply, expire: () => void) => unknown> = {
  'handlerTimeout expires': (_reply, expire) => { expire() },
  'the host sends an error': (reply) => { void reply.send(Object.assign(new Error('of the host'), { statusCode: 503 })) },
  'the host sends an answer': (reply) => { void reply.code(504).send({}) },
  'the host hijacks the reply if it is not sent': (reply) => { if (!reply.sent && reply.hijack().sent) reply.raw.writeHead(504).end() }
}

for (const [event, act] of Object.entries(otherAnswers)) {
  t.test(`${event} while the rights are read before a refusal, with a slow onSend hook: one answer, through the hooks`, async (t) => {
    const expire = replaceHandlerTimeout(t)
    const onSend: number[] = []
    const lines: string[] = []
    let hostReply: FastifyReply | undefined
    const { update: send, post, db } = await build(t, {
      server: { handlerTimeout, logger: { stream: { write: (line: string) => { lines.push(line) } } } },
      host: (app) => {
        app.addHook('onRequest', async (_request, reply) => { hostReply = reply })
        app.addHook('onSend', async (_request, reply) => {
          onSend.push(reply.statusCode)
          await waitTurns(50)
        })
      }
    })
    t.equal((await send(update)).statusCode, 200)
    const before = await allRows(db)
    onSend.length = 0
    await db.exec(dialectOf(t) === 'sqlite' ? 'BEGIN' : 'BEGIN; LOCK TABLE omnichannel_auth_token')
    const sent = post('{')
    await waitTurns(20)
    act(hostReply as FastifyReply, expire)
    await db.exec('COMMIT')
    t.equal((await sent).statusCode, 400)
    await waitTurns(60)
    t.strictSame(onSend, [400])
    t.strictSame(lines.filter((line) => /already sent|hook failed/.test(line)), [])
    t.strictSame(await allRows(db), before)
  })
}

t.test('the event has the name that the user has now', async (t) => {
  const users: unknown[] = []
  const { update: send, db } = await build(t, { beforeCommit: ({ user }) => { users.push(user) } })
  t.equal((await send(update)).statusCode, 200)
  await db.exec("UPDATE omnichannel_user SET name = 'Anna' WHERE id = 'ann'")
  t.equal((await send({ ...update, name: 'Mia' })).statusCode, 200)
  t.strictSame(users, [{ id: 'ann', username: 'ann', name: 'ann' }, { id: 'ann', username: 'ann', name: 'Anna' }])
})

t.test('an authenticate of the host: the event has the user of its own request', async (t) => {
  const users: unknown[] = []
  const { update: send } = await build(t, {
    authenticate: ({ headers }) => ({ id: 'ann', session: headers['x-session'] }),
    beforeCommit: ({ user }) => { users.push(user) }
  })
  for (const session of ['one', 'two']) t.equal((await send(update, { 'x-session': session })).statusCode, 200)
  t.strictSame(users, [{ id: 'ann', session: 'one' }, { id: 'ann', session: 'two' }])
})

t.test('an authorize of the host: it gets the stored user each time', async (t) => {
  const users: unknown[] = []
  const { update: send, db } = await build(t, { authorize: (user) => users.push(user) > 0 })
  t.equal((await send(update)).statusCode, 200)
  await db.exec("UPDATE omnichannel_user SET name = 'Anna' WHERE id = 'ann'")
  t.equal((await send(update)).statusCode, 200)
  t.strictSame(users, [{ id: 'ann', username: 'ann', name: 'ann' }, { id: 'ann', username: 'ann', name: 'Anna' }])
})

sqlite.test('sqlite: more callers than are remembered: a forgotten caller is looked up again', async (t) => {
  const database = openHandle(':memory:', { verbose: (sql) => { statements.push(String(sql)) } })
  const statements: string[] = []
  const { app } = await build(t, { database, authenticate: ({ headers }) => ({ id: String(headers['x-user-id']) }) })
  const insert = database.prepare("INSERT INTO omnichannel_user_role VALUES (?, 'livechat-agent')")
  const updateAs = async (user: number): Promise<void> => {
    statements.length = 0
    const reply = await app.inject({ method: 'POST', url: path, headers: { 'x-user-id': `user-${user}` }, payload: update })
    t.equal(reply.statusCode, 200)
  }
  const wasLookedUp = (): boolean => statements.slice(0, statements.findIndex((sql) => sql.startsWith('BEGIN'))).some((sql) => sql.includes('user_role'))
  for (let user = 0; user <= 1000; user++) insert.run(`user-${user}`)
  for (let user = 0; user < 1000; user++) await updateAs(user)
  await updateAs(0)
  t.equal(wasLookedUp(), false)
  await updateAs(1000)
  await updateAs(0)
  t.equal(wasLookedUp(), true)
})
