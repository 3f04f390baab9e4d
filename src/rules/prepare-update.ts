// One request in its transaction: what is read, what is judged in which order, what is written, and how to find out later
// whether it was written.

import { ContactNotFoundError, ContactVersionMismatchError } from '../errors.js'
import { all, always, type CommitOutcome, type Decision, type HostCallback, type Query, type Read, type Update } from '../store/operation.js'
import * as queries from '../store/queries.js'
import { readContact, toJson, type StoredContact } from './contact.js'
import type { Fits } from './custom-fields.js'
import { readResponse, storeResponse, type IdempotencyKey, type KeyLookup, type StoredResponse } from './idempotency.js'
import type { UpdateContactBody } from './wire-schemas.js'
import { changeContact, readAgent, readCustomFields, writesOf } from './update-contact.js'

/** A request, as far as its transaction must know it. */
export interface UpdateContext {
  /** Identifies the update, whatever its version and time: 16 random bytes. */
  updateId: string
  body: UpdateContactBody
  /** Begins to check the custom fields of the request. */
  beginPatterns: () => Fits
  /** The entity tags of which the contact must have one. */
  ifMatch: readonly string[] | '*' | undefined
  idempotencyKey: IdempotencyKey | undefined
  /** Reads what the caller may do; its `decide` throws when they may no longer. */
  recheckAccess: () => Read<void>
  /** The body of the response. */
  toAnswer: (contactJson: string) => string
  /** Runs once our rows are written. */
  beforeCommit: ((change: Change) => HostCallback) | undefined
}

export interface Change {
  updateId: string
  updated: StoredContact
  previous: StoredContact
}

/** The response, and the change where there was one. */
export interface UpdateResult extends StoredResponse {
  replayed: boolean
  change?: Change
}

const noKey = always<KeyLookup>({ response: undefined, anyExpired: false })

/**
 * Judges in the order of the contract: access, the stored response, the contact, `If-Match`, the rules.
 *
 * @throws {ContactNotFoundError} {ContactVersionMismatchError} and what access, the key and the rules refuse, from `decide`
 */
export function prepareUpdate (context: UpdateContext): Update<UpdateResult> {
  const { body, idempotencyKey } = context
  const { queries, decide } = all(
    readContact(body.contactId), context.recheckAccess(), idempotencyKey === undefined ? noKey : readResponse(idempotencyKey),
    readAgent(body), readCustomFields(body)
  )
  return {
    queries,
    decide: (rows) => {
      const [previous, , { response, anyExpired }, isAgent, customFields] = decide(rows)
      if (response !== undefined) return nothingToWrite({ ...response, replayed: true })

      if (previous === undefined) throw new ContactNotFoundError()
      checkVersion(previous.row.version, context.ifMatch)
      const updated = changeContact(body, previous, { isAgent, customFields }, context.beginPatterns(), context.updateId)
      return decideWrites(context, previous, updated, anyExpired)
    }
  }
}

function checkVersion (version: number, ifMatch: UpdateContext['ifMatch']): void {
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(`"${version}"`)) throw new ContactVersionMismatchError(version)
}

function decideWrites (
  context: UpdateContext, previous: StoredContact, updated: StoredContact | undefined, anyExpired: boolean
): Decision<UpdateResult> {
  const { updateId, idempotencyKey, beforeCommit } = context
  // A row that cannot be shown refuses the update.
  const answer = context.toAnswer(toJson(updated ?? previous))
  const result: UpdateResult = { version: (updated ?? previous).row.version, answer, replayed: false }

  const writes: Array<Query | HostCallback> = updated === undefined ? [] : writesOf(previous, updated, updateId)
  if (idempotencyKey !== undefined) writes.push(...storeResponse(idempotencyKey, previous.row.id, result, anyExpired))
  if (updated !== undefined) {
    result.change = { updateId, updated, previous }
    // Last: whatever the host does with the transaction, the response is stored with the update or not at all.
    if (beforeCommit !== undefined) writes.push(beforeCommit(result.change))
  }
  return { result, writes, findOutcome: readOutcome(context, previous, result) }
}

function nothingToWrite (result: UpdateResult): Decision<UpdateResult> {
  return { result, writes: [], findOutcome: always('rolled-back') }
}

/**
 * The contact has the id of its last update: ours means committed, the one from before means rolled back. Where others have written
 * since, the response stored for our key tells. It is ours, or that of the same request on another node, which is then replayed.
 */
function readOutcome (
  { updateId, idempotencyKey }: UpdateContext, previous: StoredContact, result: UpdateResult
): Read<CommitOutcome<UpdateResult>> {
  const lookup = idempotencyKey === undefined ? noKey : readResponse(idempotencyKey)
  const keyExpires = Date.now() + (idempotencyKey?.windowMs ?? 0)
  return {
    queries: [queries.findLastUpdate({ contactId: previous.row.id }), ...lookup.queries],
    decide: ([row, ...rows]) => {
      const stored = row as { update_id: string | null, version: number } | undefined
      if (stored?.update_id === updateId) return { committed: result }
      const { response } = lookup.decide(rows)
      if (response !== undefined) {
        // A row of our version with another id: the same request on another node has taken it, perhaps in the same millisecond.
        const isOurs = stored?.version !== result.version && response.version === result.version && response.answer === result.answer
        return { committed: isOurs ? result : { ...response, replayed: true } }
      }
      if (stored === undefined) return 'unknown'
      const isKeyFree = idempotencyKey !== undefined && Date.now() < keyExpires
      // Another update has the id from before, or has taken our version: it did not see ours.
      const isUnseen = stored.update_id === previous.row.update_id || stored.version === result.version
      return isKeyFree || isUnseen ? 'rolled-back' : 'unknown'
    }
  }
}
