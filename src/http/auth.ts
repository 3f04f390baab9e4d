// Finds the caller and checks the permission, in a preParsing hook. So the host's onRequest hooks run first, in which a rate limit counts
// every caller. The body is read later and may arrive slowly, so the transaction checks again.
//
// A caller who had the rights in an earlier update is let through without a look-up. Each answer still depends on rights that were read for
// its request: in the update's transaction, or by `confirm` before a refusal without a transaction.

import { hash } from 'node:crypto'
import type { FastifyError, FastifyRequest } from 'fastify'
import { ForbiddenError, InvalidUserError, UnauthorizedError } from '../errors.js'
import type { Settings, User } from '../options.js'
import { keyOf, read, withoutQueries, type Read } from '../store/operation.js'
import { findCaller, findPermission, UPDATE_PERMISSION as permission } from '../store/queries.js'
import type { Store } from '../store/store.js'
import { isOwnError, UnforeseenError } from './replies.js'

interface Caller {
  user: User
  /** Reads the rights that are stored in the database. Its `decide` throws if they are missing. */
  rights: Read<User>
  /** Stands for the user and the rights in `known`. */
  key: string
  /** Whether the rights are known from an earlier update only, and must still be read for this request. */
  isTrusted: boolean
}

const kCaller = Symbol('fastify-omnichannel-contacts.caller')
type Identified = FastifyRequest & { [kCaller]: Caller }

function callerOf (request: FastifyRequest): Caller {
  const { [kCaller]: caller } = request as Partial<Identified>
  if (caller === undefined) throw new Error('An onRoute hook has replaced the preParsing hooks of contacts.update, so the caller is unknown')
  return caller
}

/** The user that the hook has found, as the transaction has read it last. */
export function userOf (request: FastifyRequest): User {
  return callerOf(request).user
}

/** How many callers are remembered. Enough for all agents who work at the same time. */
const capacity = 1000

export type Access = ReturnType<typeof createAccess>

export function createAccess (store: Store, { authenticate, authorize, lockTimeout }: Settings) {
  /** The callers who had the rights in their last update. Always empty with an `authorize` of the host, which must get the stored user. */
  const known = new Set<string>()

  function rightsOf (request: FastifyRequest, hostUser: User | undefined): Read<User> {
    if (hostUser === undefined) return readUser(request, authorize === undefined)
    return authorize === undefined ? readPermission(hostUser) : withoutQueries(hostUser)
  }

  async function lookUp ({ queries, decide }: Read<User>): Promise<User> {
    return queries.length === 0 ? decide([]) : await store.read({ queries, decide }, lockTimeout)
  }

  return {
    /**
     * The hook. It answers 401 if the caller is unknown, and 403 if the caller lacks the permission. A function of the host may throw errors
     * with these statuses. Its other errors, such as a 404 of its user service, become a 500.
     */
    check: async (request: FastifyRequest): Promise<void> => {
      let runsHostCode = true
      try {
        const hostUser = authenticate === undefined ? undefined : checkUser(await authenticate(request))
        runsHostCode = false
        const rights = rightsOf(request, hostUser)
        const key = rights.queries.map(({ values }) => keyOf(values)).join()
        const isKnown = known.has(key)
        const sentUser = hostUser ?? { id: request.headers['x-user-id'] as string }
        const user = isKnown ? sentUser : await lookUp(rights)
        ;(request as Identified)[kCaller] = { user, rights, key, isTrusted: isKnown }
        if (authorize === undefined) return
        runsHostCode = true
        const answer: unknown = await authorize(user, permission, request)
        if (answer !== true) throw new ForbiddenError()
      } catch (thrown) {
        const { statusCode } = Object(thrown) as Partial<FastifyError>
        throw runsHostCode && (statusCode === 401 || statusCode === 403) ? thrown : toLookUpError(thrown)
      }
    },
    /** The read with which the transaction checks the stored rights again. Its `decide` throws the same errors as the hook. */
    recheck: (request: FastifyRequest): Read<void> => {
      const caller = callerOf(request)
      const { rights: { queries, decide }, key } = caller
      caller.isTrusted = false
      return {
        queries,
        decide: (rows) => {
          known.delete(key)
          caller.user = decide(rows)
          if (authorize !== undefined) return
          if (known.size === capacity) known.clear()
          known.add(key)
        }
      }
    },
    /** Whether the rights must be confirmed before the request is refused. */
    mustConfirm: (request: FastifyRequest): boolean => (request as Partial<Identified>)[kCaller]?.isTrusted === true,
    /** Reads the rights of a caller who was let through without a look-up. Returns the error of the hook if they are missing. */
    confirm: async (request: FastifyRequest): Promise<Error | undefined> => {
      const { rights, key } = callerOf(request)
      try {
        await lookUp(rights)
        return undefined
      } catch (thrown) {
        known.delete(key)
        return toLookUpError(thrown)
      }
    }
  }
}

function toLookUpError (thrown: unknown): Error {
  return isOwnError(thrown) ? thrown as Error : new UnforeseenError(new Error('The caller could not be looked up', { cause: thrown }))
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

function readPermission (user: User): Read<User> {
  return read([findPermission({ userId: user.id, permission })], (row) => {
    if (row === undefined) throw new ForbiddenError()
    return user
  })
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
