// The same way in and out for the contestants that are written here: the plugin's parsers, validator and replies, and
// hooks in the same places. What they do with the database is their own.

import type { FastifyInstance } from 'fastify'
import type { Contact, UpdateContactBody } from '../../src/rules/wire-schemas.js'
import type { Dist } from './dist.js'

type Awaitable<Value> = Value | Promise<Value>

interface User {
  id: string
  /** Set where one look-up answered both questions. */
  granted?: boolean
}

export interface Rules {
  findUser: (userId: string, hashedToken: string, now: string) => Awaitable<User | undefined>
  hasPermission: (user: User) => Awaitable<boolean>
  update: (body: UpdateContactBody) => Awaitable<Contact>
}

const kUser = Symbol('user')

export function addRoute (app: FastifyInstance, dist: Dist, rules: Rules): void {
  const { UnauthorizedError, ForbiddenError, hashToken } = dist.index

  app.addHook('preParsing', (request, _reply, _payload, done) => {
    const { 'x-user-id': userId, 'x-auth-token': token } = request.headers
    if (typeof userId !== 'string' || typeof token !== 'string') return done(new UnauthorizedError())
    settle(() => rules.findUser(userId, hashToken(token), new Date().toISOString()), (user) => {
      if (user === undefined) return done(new UnauthorizedError())
      ;(request as { [kUser]?: User })[kUser] = user
      done()
    }, done)
  })
  app.addHook('preParsing', (request, _reply, _payload, done) => {
    const user = (request as { [kUser]?: User })[kUser] as User
    settle(() => rules.hasPermission(user), (granted) => { done(granted ? undefined : new ForbiddenError()) }, done)
  })
  dist.body.addBodyParsers(app)

  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    bodyLimit: 256 * 1024,
    schema: { body: dist.index.UpdateContactBody },
    validatorCompiler: () => dist.body.validateBody,
    serializerCompiler: () => JSON.stringify,
    errorHandler: dist.replies.sendError,
    handler: async (request, reply) => {
      dist.replies.send(reply, 200, dist.replies.toAnswer(JSON.stringify(await rules.update(request.body))))
      return reply
    }
  })
}

/** Goes on at once where the answer is at hand: a promise for each would slow down whoever needs none. */
function settle<Value> (ask: () => Awaitable<Value>, next: (value: Value) => void, fail: (error: Error) => void): void {
  try {
    const answer = ask()
    if (answer instanceof Promise) answer.then(next).catch(fail)
    else next(answer)
  } catch (error) {
    fail(error as Error)
  }
}
