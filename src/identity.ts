// Who is calling, and may they: two hooks, one question each. They stand in preParsing because that is after the
// host's onRequest hooks (a rate limit has counted the caller by then) and before a stranger's body is read.

import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { DatabaseAccess } from './database.js'
import { ForbiddenError, InvalidUserError, UnauthorizedError } from './errors.js'
import type { Settings, User } from './options.js'
import { findPermission, findUserByToken } from './queries.js'

const permission = 'update-livechat-contact'

const kUser = Symbol('fastify-omnichannel-contacts.user')
type Identified = FastifyRequest & { [kUser]?: User }

/** The user that the first hook found. */
export function callerOf (request: FastifyRequest): User {
  return (request as Identified)[kUser] as User
}

type IdentityHook = (request: FastifyRequest) => Promise<void>

/** Refuses whoever is not known. */
export function authenticateHook (access: DatabaseAccess, settings: Settings): IdentityHook {
  const authenticate = settings.authenticate ?? ((request) => findCaller(access, settings, request))
  return async (request) => {
    const user: unknown = await authenticate(request)
    if (user === null || user === undefined) throw new UnauthorizedError()
    if (!isUser(user)) throw new InvalidUserError()
    ;(request as Identified)[kUser] = user
  }
}

/** Refuses whoever lacks the permission. */
export function authorizeHook (access: DatabaseAccess, settings: Settings): IdentityHook {
  const authorize = settings.authorize ?? (async (user) => {
    return await access.read(() => findPermission({ userId: user.id, permission }), settings.lockTimeout) !== undefined
  })
  return async (request) => {
    const granted: unknown = await authorize(callerOf(request), permission, request)
    if (granted !== true) throw new ForbiddenError()
  }
}

function findCaller (access: DatabaseAccess, { lockTimeout }: Settings, request: FastifyRequest): ReturnType<NonNullable<Settings['authenticate']>> {
  const { 'x-user-id': userId, 'x-auth-token': token } = request.headers
  if (typeof userId !== 'string' || typeof token !== 'string') return null
  const hashedToken = hashToken(token)
  return access.read(() => findUserByToken({ userId, hashedToken, now: new Date().toISOString() }), lockTimeout)
}

/** What `omnichannel_auth_token.hashed_token` holds for a token: the standard base64 of the SHA-256 of its UTF-8 bytes. */
export function hashToken (token: string): string {
  return createHash('sha256').update(token).digest('base64')
}

function isUser (value: unknown): value is User {
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string' && value.id !== ''
}
