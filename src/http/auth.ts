// Finds the caller and checks the permission, in a preParsing hook. So the host's onRequest hooks run first, in which a rate limit counts
// every caller. The body is read later and may arrive slowly, so the transaction checks again.

import { hash } from 'node:crypto'
import type { FastifyError, FastifyRequest, preParsingAsyncHookHandler } from 'fastify'
import { ForbiddenError, InvalidUserError, UnauthorizedError } from '../errors.js'
import type { Settings, User } from '../options.js'
import { always, read, type Read } from '../store/operation.js'
import { findCaller, findPermission, UPDATE_PERMISSION as permission } from '../store/queries.js'
import type { Store } from '../store/store.js'
import { isOwnError } from './replies.js'

const kUser = Symbol('fastify-omnichannel-contacts.user')
type Identified = FastifyRequest & { [kUser]: User }

/** The user that the hook has found. */
export function userOf (request: FastifyRequest): User {
  const { [kUser]: user } = request as Partial<Identified>
  if (user === undefined) throw new Error('An onRoute hook has replaced the preParsing hooks of contacts.update, so the caller is unknown')
  return user
}

/**
 * Answers 401 if the caller is unknown, and 403 if the caller lacks the permission. A function of the host may throw errors with these
 * statuses. Its other errors, such as a 404 of its user service, become a 500.
 */
export function createAccessHook (store: Store, { authenticate, authorize, lockTimeout }: Settings): preParsingAsyncHookHandler {
  return async (request) => {
    let runsHostCode = authenticate !== undefined
    try {
      const user = authenticate === undefined
        ? await store.read(readUser(request, authorize === undefined), lockTimeout)
        : checkUser(await authenticate(request))
      ;(request as Identified)[kUser] = user

      runsHostCode = authorize !== undefined
      if (authorize !== undefined) {
        const answer: unknown = await authorize(user, permission, request)
        if (answer !== true) throw new ForbiddenError()
      } else if (authenticate !== undefined) {
        await store.read(readPermission(user), lockTimeout)
      }
    } catch (thrown) {
      const { statusCode } = Object(thrown) as Partial<FastifyError>
      if (isOwnError(thrown) || (runsHostCode && (statusCode === 401 || statusCode === 403))) throw thrown
      throw new Error('The caller could not be looked up', { cause: thrown })
    }
  }
}

/** The read with which the transaction checks the stored rights again. `decide` throws the same errors as the hook. */
export function recheckAccess (request: FastifyRequest, { authenticate, authorize }: Settings): Read<unknown> {
  if (authenticate === undefined) return readUser(request, authorize === undefined)
  return authorize === undefined ? readPermission(userOf(request)) : always(undefined)
}

/** Reads the user of a token. `decide` throws if there is none, or if the user needs the permission and lacks it. */
function readUser ({ headers }: FastifyRequest, needsPermission: boolean): Read<User> {
  const { 'x-user-id': userId, 'x-auth-token': token } = headers
  if (typeof userId !== 'string' || typeof token !== 'string') return read([], () => { throw new UnauthorizedError() })
  return read([findCaller({ userId, hashedToken: hashToken(token), permission })], (row) => {
    // A column of the host may ignore case. Idempotency keys would then be stored under another spelling of the id.
    if (row?.id !== userId || isExpired(row.expires_at)) throw new UnauthorizedError()
    if (needsPermission && row.granted !== 1) throw new ForbiddenError()
    return { id: userId, username: row.username, name: row.name } as User
  })
}

/** A text that is not a time, which a view of the host's may have, counts as expired. Date.parse cannot read PostgreSQL's years after 9999. */
function isExpired (at: string | null): boolean {
  return at !== null && !(Date.parse(at) > Date.now() || /^\d{5,6}-/.test(at))
}

function readPermission ({ id: userId }: User): Read<void> {
  return read([findPermission({ userId, permission })], (row) => { if (row === undefined) throw new ForbiddenError() })
}

function checkUser (user: unknown): User {
  if (user === null || user === undefined) throw new UnauthorizedError()
  if (typeof user !== 'object' || !('id' in user) || typeof user.id !== 'string' || user.id === '') throw new InvalidUserError()
  return user as User
}

/** What `omnichannel_auth_token.hashed_token` holds for a token: the standard base64 of the SHA-256 of its UTF-8 bytes. */
export function hashToken (token: string): string {
  return hash('sha256', token, 'base64')
}
