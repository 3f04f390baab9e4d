// One update, once: an answer is stored in the transaction of its update, and whoever asks for the same again with the
// same key gets it again.

import { hash } from 'node:crypto'
import { IdempotencyKeyReusedError, InvalidParamsError } from '../errors.js'
import * as queries from '../store/queries.js'
import { ask, type Query, type Steps } from '../store/steps.js'
import type { UpdateContactBody } from './schemas.js'

/** A key, and what came with it. */
export interface IdempotencyKey {
  userId: string
  key: string
  fingerprint: string
  /** How long it is remembered, in milliseconds. */
  window: number
}

export interface Remembered {
  version: number
  answer: string
}

/** @throws {InvalidParamsError} when the body is nested too deeply to be written down */
export function fingerprintOf (body: UpdateContactBody, ifMatch: unknown): string {
  try {
    return hash('sha256', JSON.stringify([body, ifMatch], sortKeys), 'base64')
  } catch {
    throw new InvalidParamsError('The request body is nested too deeply')
  }
}

// The order of keys is no part of what is asked for.
function sortKeys (_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
}

/** What is known of a key when its transaction begins. */
export interface Known {
  remembered: Remembered | undefined
  /** Whether the answers of other keys have outlived their window. */
  outlived: boolean
}

/** @throws {IdempotencyKeyReusedError} when the key came with another request */
export function * findAnswer ({ userId, key, fingerprint, window }: IdempotencyKey): Steps<Known> {
  const [row] = yield * ask(queries.findAnswer({ userId, key, since: since(window) }))
  const { fingerprint: stored, version, answer, outlived } = row as NonNullable<typeof row>
  if (stored !== null && stored !== fingerprint) throw new IdempotencyKeyReusedError()
  return { remembered: answer === null ? undefined : { version: version as number, answer }, outlived: outlived === 1 }
}

/** What stores the answer, and takes a few old ones away where there are any. */
export function rememberAnswer (
  { userId, key, fingerprint, window }: IdempotencyKey, contactId: string, { version, answer }: Remembered, outlived: boolean
): Query[] {
  const put = queries.putAnswer({
    userId, key, fingerprint, contactId, version, text: answer, now: new Date().toISOString(), since: since(window)
  })
  return outlived ? [put, queries.deleteOutlived({ since: since(window) })] : [put]
}

function since (window: number): string {
  return new Date(Date.now() - window).toISOString()
}
