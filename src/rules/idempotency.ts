import { hash } from 'node:crypto'
import { IdempotencyKeyReusedError, InvalidParamsError } from '../errors.js'
import { read, withoutQueries, type Query, type Read } from '../store/operation.js'
import * as queries from '../store/queries.js'
import type { UpdateContactBody } from './wire-schemas.js'

/** An idempotency key with the request that it came with. */
export interface IdempotencyKey {
  userId: string
  key: string
  fingerprint: string
  /** How many milliseconds a response is stored. */
  windowMs: number
}

export interface StoredResponse {
  version: number
  /** The body of the response. */
  answer: string
}

/**
 * Two requests with the same fingerprint are the same request.
 *
 * @throws {InvalidParamsError} if the body is nested too deeply
 */
export function fingerprintOf (body: UpdateContactBody, ifMatch: unknown): string {
  try {
    return hash('sha256', JSON.stringify([body, ifMatch], normalize), 'base64')
  } catch {
    throw new InvalidParamsError('The request body is nested too deeply')
  }
}

/** Sorts the keys of objects. Writes Infinity as a text, because JSON would make it null. */
function normalize (_key: string, value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
}

/** The response that is stored for a key before the update. */
interface KeyLookup {
  response: StoredResponse | undefined
  /** Whether there are expired responses, of any key. */
  anyExpired: boolean
}

/** Looks up a key. `decide` throws {@link IdempotencyKeyReusedError} if the key came with another request before. */
export function readResponse (idempotencyKey: IdempotencyKey | undefined): Read<KeyLookup> {
  if (idempotencyKey === undefined) return withoutQueries({ response: undefined, anyExpired: false })
  const { userId, key, fingerprint, windowMs } = idempotencyKey
  return read([queries.findResponse({ userId, key, since: windowStart(windowMs) })], (row) => {
    const { fingerprint: stored, version, answer, any_expired: anyExpired } = row as NonNullable<typeof row>
    if (stored !== null && stored !== fingerprint) throw new IdempotencyKeyReusedError()
    return { response: answer === null ? undefined : { version: version as number, answer }, anyExpired: anyExpired === 1 }
  })
}

/** Stores a response, and deletes a few expired ones. */
export function storeResponse (
  { userId, key, fingerprint, windowMs }: IdempotencyKey, contactId: string, answer: string, anyExpired: boolean
): Query[] {
  const since = windowStart(windowMs)
  const put = queries.putResponse({ userId, key, fingerprint, contactId, answer, now: new Date().toISOString(), since }, 1)
  return anyExpired ? [put, queries.deleteExpiredResponses({ since })] : [put]
}

function windowStart (windowMs: number): string {
  return new Date(Date.now() - windowMs).toISOString()
}
