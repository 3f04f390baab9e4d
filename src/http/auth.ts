// Authentication and authorization: one hook each. They run in preParsing: after the host's onRequest hooks, so that a rate
// limit counts every caller, and before the body of a stranger is read.
// A body may arrive long after its headers, so the database's own rights are read again in the transaction.

import { hash } from 'node:crypto'
import type { FastifyError, FastifyRequest, preParsingAsyncHookHandler } from 'fastify'
import { ForbiddenError, InvalidUserError, UnauthorizedError } from '../errors.js'
import type { Settings, User } from '../options.js'
import { always, read, type Read } from '../store/operation.js'
import { findCaller, findPermission } from '../store/queries.js'
import type { Store } from '../store/store.js'
import { isOwnError } from './replies.js'

const permission = 'update-livechat-contact'

interface Caller {
  user: User
  /** Set where one query has answered both questions. */
  granted?: boolean
}

const kCaller = Symbol('fastify-omnichannel-contacts.caller')
type Identified = FastifyRequest & { [kCaller]?: Caller }

function callerOf (request: FastifyRequest): Caller {
  return (request as Identified)[kCaller] as Caller
}

/** The user that the authentication hook found. */
export function userOf (request: FastifyRequest): User {
  return callerOf(request).user
}

/** Answers 401 unless the caller is known. */
export function authenticateHook (store: Store, { authenticate, lockTimeout }: Settings): preParsingAsyncHookHandler {
  return hook(authenticate !== undefined, async (request) => {
    const caller = authenticate === undefined
      ? await store.read(readCaller(request), lockTimeout)
      : toCaller(await authenticate(request))
    if (caller === undefined) throw new UnauthorizedError()
    ;(request as Identified)[kCaller] = caller
  })
}

/** Answers 403 unless the caller has the permission. */
export function authorizeHook (store: Store, { authorize, lockTimeout }: Settings): preParsingAsyncHookHandler {
  return hook(authorize !== undefined, async (request) => {
    const { user, granted } = callerOf(request)
    const mayDo: unknown = authorize === undefined
      ? granted ?? await store.read(readPermission(user), lockTimeout)
      : await authorize(user, permission, request)
    if (mayDo !== true) throw new ForbiddenError()
  })
}

/** Reads again what the database says of the caller. Its `decide` throws what the hooks would throw now. */
export function recheckAccess (request: FastifyRequest, { authenticate, authorize }: Settings): Read<void> {
  if (authenticate === undefined) {
    const { queries, decide } = readCaller(request)
    return {
      queries,
      decide: (rows) => {
        const caller = decide(rows)
        if (caller === undefined) throw new UnauthorizedError()
        if (authorize === undefined && caller.granted !== true) throw new ForbiddenError()
      }
    }
  }
  if (authorize !== undefined) return always(undefined)
  const { queries, decide } = readPermission(userOf(request))
  return { queries, decide: (rows) => { if (!decide(rows)) throw new ForbiddenError() } }
}

function readCaller ({ headers }: FastifyRequest): Read<Caller | undefined> {
  const { 'x-user-id': userId, 'x-auth-token': token } = headers
  if (typeof userId !== 'string' || typeof token !== 'string') return always(undefined)
  return read([findCaller({ userId, hashedToken: hashToken(token), permission })], (row) => {
    if (row === undefined || (row.expires_at !== null && isPast(row.expires_at))) return undefined
    return { user: { id: userId, username: row.username, name: row.name } as User, granted: row.granted === 1 }
  })
}

/** A year after 9999 has more digits, and PostgreSQL can hold one. */
function isPast (time: string): boolean {
  const now = new Date().toISOString()
  return time.length === now.length && time <= now
}

function readPermission ({ id: userId }: User): Read<boolean> {
  return read([findPermission({ userId, permission })], (row) => row !== undefined)
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

/** @param ofHost whether `check` is the host's function, which may refuse with a status of its own */
function hook (ofHost: boolean, check: (request: FastifyRequest) => Promise<void>): preParsingAsyncHookHandler {
  return async (request) => {
    try {
      await check(request)
    } catch (thrown) {
      // The 404 of a host's identity service is not our answer, and Fastify takes null for no error.
      const { statusCode } = Object(thrown) as Partial<FastifyError>
      const isRefusal = ofHost && (statusCode === 401 || statusCode === 403)
      if (isRefusal || isOwnError(thrown)) throw thrown
      throw new Error('The caller could not be looked up', { cause: thrown })
    }
  }
}
