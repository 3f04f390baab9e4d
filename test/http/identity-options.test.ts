import type { FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { allRows, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { forbidden, internalServerError, unauthorized } from '../helpers/refusals.js'

/** A hook that throws an error with this status. thrown-values.test.ts has other values, and statuses such as 404 and 503. */
function throws (statusCode: number): () => never {
  return () => { throw Object.assign(new Error('the secret reason'), { statusCode }) }
}

/** A hook that rejects with such an error. */
function rejects (statusCode: number): () => Promise<never> {
  return async () => throws(statusCode)()
}

type Scenario = [situation: string, hook: () => unknown, status: number, body: object]

/** Checks the answers of servers that have one of the hooks each. */
async function checkRefusals (t: Test, option: 'authenticate' | 'authorize', scenarios: Scenario[]): Promise<void> {
  for (const [situation, hook, status, body] of scenarios) {
    const { update, db } = await build(t, { authorize: () => true, [option]: hook })
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', name: 'Mallory' })
    t.strictSame([reply.statusCode, reply.json()], [status, body], situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
}

t.test('authenticate finds no user or fails: refused, and nothing is written', async (t) => {
  await checkRefusals(t, 'authenticate', [
    ['null', () => null, 401, unauthorized],
    ['undefined', () => undefined, 401, unauthorized],
    ['null, in a promise', async () => null, 401, unauthorized],
    ['undefined, in a promise', async () => undefined, 401, unauthorized],
    ['false', () => false, 500, internalServerError],
    ['a text', () => 'ann', 500, internalServerError],
    ['a user without an id', () => ({ name: 'Ann' }), 500, internalServerError],
    ['a user with an empty id', () => ({ id: '' }), 500, internalServerError],
    ['a user with a number for an id, in a promise', async () => ({ id: 7 }), 500, internalServerError],
    ['throws a 401', throws(401), 401, unauthorized],
    ['rejects with a 401', rejects(401), 401, unauthorized],
    ['throws a 403', throws(403), 403, forbidden],
    ['throws a 500', throws(500), 500, internalServerError],
    ['throws a 502', throws(502), 500, internalServerError],
    ['throws a 402, which is not in the contract', throws(402), 500, internalServerError]
  ])
})

t.test('authorize returns anything but true, or fails: refused, and nothing is written', async (t) => {
  await checkRefusals(t, 'authorize', [
    ['false', () => false, 403, forbidden],
    ['false, in a promise', async () => false, 403, forbidden],
    ['undefined', () => undefined, 403, forbidden],
    ['1', () => 1, 403, forbidden],
    ['a text', () => 'yes', 403, forbidden],
    ['an object, in a promise', async () => ({ granted: true }), 403, forbidden],
    ['throws a 403', throws(403), 403, forbidden],
    ['rejects with a 401', rejects(401), 401, unauthorized]
  ])
})

const caller = { id: 'erika', tenant: 7 }
const answers: Record<string, <Result>(result: Result) => Result | Promise<Result>> = {
  'return at once': (result) => result,
  'return a promise': async (result) => result
}
for (const [kind, answer] of Object.entries(answers)) {
  t.test(`authenticate and authorize ${kind}: each is called once, with request, user and permission`, async (t) => {
    const authenticateCalls: unknown[][] = []
    const authorizeCalls: unknown[][] = []
    const users: unknown[] = []
    const { update } = await build(t, {
      authenticate: (...args: unknown[]) => {
        authenticateCalls.push(args)
        return answer(caller)
      },
      authorize: (...args: unknown[]) => {
        authorizeCalls.push(args)
        return answer(true)
      },
      onContactUpdated: ({ user }) => { users.push(user) }
    })
    const reply = await update({ contactId: 'maria', name: 'Marie' }, { authorization: 'Bearer of-the-host' })
    t.strictSame([reply.statusCode, reply.json().contact.name], [200, 'Marie'])

    t.strictSame(authenticateCalls.map((args) => args.length), [1], 'authenticate gets the request alone')
    const request = authenticateCalls[0]![0] as FastifyRequest
    t.equal(request.headers.authorization, 'Bearer of-the-host')
    t.strictSame(authorizeCalls.map((args) => args.length), [3])
    const [[user, permission, requestOfAuthorize] = []] = authorizeCalls
    t.equal(user, caller, 'authorize gets the same object')
    t.equal(permission, 'update-livechat-contact')
    t.equal(requestOfAuthorize, request)
    t.equal(users[0], caller, 'so does the event')
  })
}

t.test('authorize alone: called for users of the database, and not for an unknown caller', async (t) => {
  const askedFor: string[] = []
  const { update } = await build(t, {
    authorize: ({ id }) => {
      askedFor.push(id)
      return id === 'nick'
    }
  })
  t.equal((await update({ contactId: 'maria' }, { 'x-user-id': 'nick', 'x-auth-token': 'wrong' })).statusCode, 401)
  t.equal((await update({ contactId: 'maria' }, { 'x-user-id': 'nick', 'x-auth-token': 'token-of-nick' })).statusCode, 200)
  t.equal((await update({ contactId: 'maria' })).statusCode, 403)
  t.strictSame(askedFor, ['nick', 'ann'])
})

t.test('authenticate alone: its users need a role in the database', async (t) => {
  const { update } = await build(t, { authenticate: ({ headers }) => ({ id: String(headers['x-session']) }) })
  const statuses = { ann: 200, mia: 200, adam: 200, nick: 403, nobody: 403 }
  for (const [user, status] of Object.entries(statuses)) {
    t.equal((await update({ contactId: 'maria' }, { 'x-session': user })).statusCode, status, user)
  }
})

t.test("an onRoute hook replaces the plugin's preParsing hooks: 500, because the caller was not checked, and nothing is written", async (t) => {
  const { update, db } = await build(t, {
    authenticate: () => null,
    authorize: () => false,
    host: (app) => { app.addHook('onRoute', (route) => { route.preParsing = async (_request, _reply, payload) => payload }) }
  })
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'Mallory' })
  t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.strictSame(await allRows(db), before)
})
