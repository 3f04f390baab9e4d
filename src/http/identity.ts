// Who is calling, and may they: two hooks, one question each. They stand in preParsing because that is after the
// host's onRequest hooks (a rate limit has counted the caller by then) and before a stranger's body is read.
// A body may arrive long after its headers, so what the database says is asked once more inside the transaction.

import { hash } from 'node:crypto'
import type { FastifyError, FastifyRequest, preParsingAsyncHookHandler } from 'fastify'
import { ForbiddenError, InvalidUserError, UnauthorizedError } from '../errors.js'
import type { Settings, User } from '../options.js'
import { findCaller, findPermission } from '../store/queries.js'
import { ask, type Steps } from '../store/steps.js'
import type { Store } from '../store/store.js'

const permission = 'update-livechat-contact'

interface Caller {
  user: User
  /** Set where the database was asked for both at once. */
  granted?: boolean
}

const kCaller = Symbol('fastify-omnichannel-contacts.caller')
type Identified = FastifyRequest & { [kCaller]?: Caller }

function callerOf (request: FastifyRequest): Caller {
  return (request as Identified)[kCaller] as Caller
}

/** The user that the first hook found. */
export function userOf (request: FastifyRequest): User {
  return callerOf(request).user
}

/** Refuses whoever is not known. */
export function authenticateHook (store: Store, { authenticate, lockTimeout }: Settings): preParsingAsyncHookHandler {
  return hook(async (request) => {
    const caller = authenticate === undefined
      ? await store.read(() => findByToken(request), lockTimeout)
      : toCaller(await authenticate(request))
    if (caller === undefined) throw new UnauthorizedError()
    ;(request as Identified)[kCaller] = caller
  })
}

/** Refuses whoever lacks the permission. */
export function authorizeHook (store: Store, { authorize, lockTimeout }: Settings): preParsingAsyncHookHandler {
  return hook(async (request) => {
    const { user, granted } = callerOf(request)
    // Whatever a host's function returns, only true lets in.
    const mayDo: unknown = authorize === undefined
      ? granted ?? await store.read(() => isGranted(user), lockTimeout)
      : await authorize(user, permission, request)
    if (mayDo !== true) throw new ForbiddenError()
  })
}

/** Asks again what was asked of the database, for whom a 401 or 403 is the answer by now. */
export function * admit (request: FastifyRequest, { authenticate, authorize }: Settings): Steps<void> {
  if (authenticate === undefined) {
    const caller = yield * findByToken(request)
    if (caller === undefined) throw new UnauthorizedError()
    if (authorize === undefined && caller.granted !== true) throw new ForbiddenError()
  } else if (authorize === undefined && !(yield * isGranted(userOf(request)))) {
    throw new ForbiddenError()
  }
}

function * findByToken ({ headers }: FastifyRequest): Steps<Caller | undefined> {
  const { 'x-user-id': userId, 'x-auth-token': token } = headers
  if (typeof userId !== 'string' || typeof token !== 'string') return undefined
  const [row] = yield * ask(findCaller({ userId, hashedToken: hashToken(token), permission }))
  if (row === undefined || (row.expires_at !== null && !(row.expires_at > new Date().toISOString()))) return undefined
  return { user: { id: userId, username: row.username, name: row.name } as User, granted: row.granted === 1 }
}

function * isGranted ({ id: userId }: User): Steps<boolean> {
  const [row] = yield * ask(findPermission({ userId, permission }))
  return row !== undefined
}

/** What `omnichannel_auth_token.hashed_token` holds for a token: the standard base64 of the SHA-256 of its UTF-8 bytes. */
export function hashToken (token: string): string {
  return hash('sha256', token, 'base64')
}

function toCaller (user: unknown): Caller | undefined {
  if (user === null || user === undefined) return undefined
  if (!isUser(user)) throw new InvalidUserError()
  return { user }
}

function isUser (value: unknown): value is User {
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string' && value.id !== ''
}

function hook (check: (request: FastifyRequest) => Promise<void>): preParsingAsyncHookHandler {
  return async (request) => {
    try {
      await check(request)
    } catch (thrown) {
      // Only a clear refusal stands: the 404 of an identity service is not ours, and Fastify takes null for no error.
      const { statusCode, code } = Object(thrown) as Partial<FastifyError>
      if (statusCode === 401 || statusCode === 403 || String(code).startsWith('FOC_')) throw thrown
      throw new Error('who is calling could not be found out', { cause: thrown })
    }
  }
}
