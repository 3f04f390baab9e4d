// Who is calling, and may they: two hooks, one question each. They stand in preParsing because that is after the
// host's onRequest hooks (a rate limit has counted the caller by then) and before a stranger's body is read.

import { hash } from 'node:crypto'
import type { FastifyError, FastifyRequest, preParsingHookHandler } from 'fastify'
import type { DatabaseAccess } from '../store/sqlite/sqlite-store.js'
import { ForbiddenError, InvalidUserError, UnauthorizedError } from '../errors.js'
import type { Settings, User } from '../options.js'
import { findCaller, findPermission } from '../store/queries.js'

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
export function authenticateHook (access: DatabaseAccess, settings: Settings): preParsingHookHandler {
  const { authenticate, lockTimeout } = settings

  function askDatabase (request: FastifyRequest): Caller | undefined | Promise<Caller | undefined> {
    const { 'x-user-id': userId, 'x-auth-token': token } = request.headers
    if (typeof userId !== 'string' || typeof token !== 'string') return undefined
    const values = { userId, hashedToken: hashToken(token), permission, now: new Date().toISOString() }
    return then(access.read(() => findCaller(values), lockTimeout), (row) => {
      if (row === undefined) return undefined
      const { granted, ...user } = row
      return { user, granted: granted === 1 }
    })
  }

  function askHost (request: FastifyRequest): Caller | undefined | Promise<Caller | undefined> {
    return then<unknown, Caller | undefined>(authenticate?.(request), (user) => {
      if (user === null || user === undefined) return undefined
      if (!isUser(user)) throw new InvalidUserError()
      return { user }
    })
  }

  return hook((request) => then(authenticate === undefined ? askDatabase(request) : askHost(request), (caller) => {
    if (caller === undefined) throw new UnauthorizedError()
    ;(request as Identified)[kCaller] = caller
  }))
}

/** Refuses whoever lacks the permission. */
export function authorizeHook (access: DatabaseAccess, { authorize, lockTimeout }: Settings): preParsingHookHandler {
  function isGranted (request: FastifyRequest): unknown {
    const { user, granted } = callerOf(request)
    if (authorize !== undefined) return authorize(user, permission, request)
    return granted ?? then(access.read(() => findPermission({ userId: user.id, permission }), lockTimeout), (row) => row !== undefined)
  }

  return hook((request) => then(isGranted(request), (granted) => {
    if (granted !== true) throw new ForbiddenError()
  }))
}

/** What `omnichannel_auth_token.hashed_token` holds for a token: the standard base64 of the SHA-256 of its UTF-8 bytes. */
export function hashToken (token: string): string {
  return hash('sha256', token, 'base64')
}

function isUser (value: unknown): value is User {
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string' && value.id !== ''
}

// Both questions are mostly answered on the spot; a promise for each would cost more than the answer.

function then<Value, Result> (value: Value | Promise<Value>, next: (value: Value) => Result): Result | Promise<Result> {
  return isPromise(value) ? value.then(next) : next(value)
}

function hook (check: (request: FastifyRequest) => void | Promise<void>): preParsingHookHandler {
  return (request, _reply, _payload, done) => {
    // Only a clear refusal stands: the 404 of an identity service is not ours, and Fastify takes null for no error.
    const refuse = (thrown: unknown): void => {
      const { statusCode, code } = Object(thrown) as Partial<FastifyError>
      const stands = statusCode === 401 || statusCode === 403 || String(code).startsWith('FOC_')
      done(stands ? thrown as FastifyError : new Error('who is calling could not be found out', { cause: thrown }))
    }
    let checked
    try {
      checked = check(request)
    } catch (thrown) {
      return refuse(thrown)
    }
    if (isPromise(checked)) checked.then(() => { done() }, refuse)
    else done()
  }
}

function isPromise<Value> (value: Value | Promise<Value>): value is Promise<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}
