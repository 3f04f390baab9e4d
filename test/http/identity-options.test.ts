import type { FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { allRows, build } from '../helpers/build.js'
import t from '../helpers/engines.js'
import { forbidden, internal, unauthorized } from '../helpers/refusals.js'

function fail (error: unknown): () => never {
  return () => { throw error }
}
function refuse (statusCode: number): Error {
  return Object.assign(new Error('the secret reason'), { statusCode })
}

// thrown-values.test.ts has values that are no errors, and statuses such as 404 and 503.
type Situation = [situation: string, hook: () => unknown, status: number, body: object]

async function refuses (t: Test, situations: Situation[], setUp: (hook: () => unknown) => object): Promise<void> {
  for (const [situation, hook, status, body] of situations) {
    const { update, db } = await build(t, setUp(hook))
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', name: 'Mallory' })
    t.strictSame([reply.statusCode, reply.json()], [status, body], situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
}

t.test('authenticate finds no user or fails: refused, and nothing is written', async (t) => {
  await refuses(t, [
    ['null', () => null, 401, unauthorized],
    ['undefined', () => undefined, 401, unauthorized],
    ['null, later', async () => null, 401, unauthorized],
    ['undefined, later', async () => undefined, 401, unauthorized],
    ['false', () => false, 500, internal],
    ['a text', () => 'ann', 500, internal],
    ['a user without an id', () => ({ name: 'Ann' }), 500, internal],
    ['a user with an empty id', () => ({ id: '' }), 500, internal],
    ['a user with a number for an id, later', async () => ({ id: 7 }), 500, internal],
    ['throws a 401', fail(refuse(401)), 401, unauthorized],
    ['rejects with a 401', async () => await Promise.reject(refuse(401)), 401, unauthorized],
    ['throws a 403', fail(refuse(403)), 403, forbidden],
    ['throws a 500', fail(refuse(500)), 500, internal],
    ['throws a 502', fail(refuse(502)), 500, internal],
    ['throws a 402, which is not in the contract', fail(refuse(402)), 500, internal]
  ], (authenticate) => ({ authenticate, authorize: () => true }))
})

t.test('authorize returns anything but true, or fails: refused, and nothing is written', async (t) => {
  await refuses(t, [
    ['false', () => false, 403, forbidden],
    ['false, later', async () => false, 403, forbidden],
    ['undefined', () => undefined, 403, forbidden],
    ['1', () => 1, 403, forbidden],
    ['a text', () => 'yes', 403, forbidden],
    ['an object, later', async () => ({ granted: true }), 403, forbidden],
    ['throws a 403', fail(refuse(403)), 403, forbidden],
    ['rejects with a 401', async () => await Promise.reject(refuse(401)), 401, unauthorized]
  ], (authorize) => ({ authorize }))
})

t.test('authenticate and authorize: called once with request, user and permission, and the event has their user', async (t) => {
  const caller = { id: 'somebody', tenant: 7 }
  for (const later of [false, true]) {
    const authenticated: unknown[][] = []
    const authorized: unknown[][] = []
    const notified: unknown[] = []
    const { update } = await build(t, {
      authenticate: (...args: unknown[]) => { authenticated.push(args); return (later ? Promise.resolve(caller) : caller) },
      authorize: (...args: unknown[]) => { authorized.push(args); return later ? Promise.resolve(true) : true },
      onContactUpdated: ({ user }) => { notified.push(user) }
    })
    const reply = await update({ contactId: 'maria', name: 'Marie' }, { authorization: 'Bearer of-the-host' })
    t.equal(reply.statusCode, 200)
    t.equal(reply.json().contact.name, 'Marie')

    const request = authenticated[0]![0] as FastifyRequest
    t.equal(authenticated.length, 1, 'asked once')
    t.equal(authenticated[0]!.length, 1, 'with the request alone')
    t.equal(request.headers.authorization, 'Bearer of-the-host')
    t.equal(authorized.length, 1, 'asked once')
    t.equal(authorized[0]![0], caller, 'with the same user object')
    t.equal(authorized[0]![1], 'update-livechat-contact')
    t.equal(authorized[0]![2], request)
    t.equal(notified[0], caller)
  }
})

t.test('authorize alone: called for users of the database, and not for an unknown caller', async (t) => {
  const asked: string[] = []
  const { update } = await build(t, { authorize: ({ id }) => { asked.push(id); return id === 'nick' } })
  t.equal((await update({ contactId: 'maria' }, { 'x-user-id': 'nick', 'x-auth-token': 'wrong' })).statusCode, 401)
  t.equal((await update({ contactId: 'maria' }, { 'x-user-id': 'nick', 'x-auth-token': 'token-of-nick' })).statusCode, 200)
  t.equal((await update({ contactId: 'maria' })).statusCode, 403)
  t.strictSame(asked, ['nick', 'ann'])
})

t.test('authenticate alone: its users need a role in the database', async (t) => {
  const { update } = await build(t, { authenticate: ({ headers }) => ({ id: String(headers['x-session']) }) })
  const statuses = { ann: 200, mia: 200, adam: 200, nick: 403, nobody: 403 }
  for (const [user, status] of Object.entries(statuses)) {
    t.equal((await update({ contactId: 'maria' }, { 'x-session': user })).statusCode, status, user)
  }
})
