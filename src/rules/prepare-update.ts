// One request in its transaction: what it reads, what it checks in which order, what it writes, and how to look up later whether it
// was committed.

import { ContactNotFoundError, ContactVersionMismatchError } from '../errors.js'
import { all, type CommitOutcome, type Decision, type Read, type Update } from '../store/operation.js'
import * as queries from '../store/queries.js'
import { contactToJson, readContact, type StoredContact } from './contact.js'
import type { MatchPattern } from './custom-fields.js'
import { readResponse, storeResponse, type IdempotencyKey, type StoredResponse } from './idempotency.js'
import { changeContact, readAgent, readAllowedFields, writesOf } from './update-contact.js'
import type { UpdateContactBody } from './wire-schemas.js'

/** What an update needs to know of its request. */
export interface UpdateContext {
  /** Is stored with the contact, and differs for each request. */
  updateId: string
  body: UpdateContactBody
  /** Makes the function that matches the custom fields of one attempt. Its time budget leaves `reservedMs` for the rest of the update. */
  createMatcher: (reservedMs: number) => MatchPattern
  /** The entity tags of `If-Match`. */
  ifMatch: readonly string[] | '*' | undefined
  idempotencyKey: IdempotencyKey | undefined
  /** Reads the rights of the caller again. Its `decide` throws if they are gone. */
  access: Read<unknown>
  beforeCommit: ((change: Change, connection: never) => unknown) | undefined
}

export interface Change {
  updateId: string
  updated: StoredContact
  previous: StoredContact
}

export interface UpdateResult extends StoredResponse {
  /** Whether the response is that of an earlier request with the same key. */
  replayed: boolean
  /** Absent if nothing was written. */
  change?: Change
}

/**
 * Checks in the order of the contract: access, the stored response, the contact, `If-Match`, the rules.
 *
 * Its `decide` throws a ContactNotFoundError, a ContactVersionMismatchError, or an error of access, the key or the rules.
 */
export function prepareUpdate (context: UpdateContext): Update<UpdateResult> {
  const { body, ifMatch, idempotencyKey, updateId } = context
  const { queries, decide } = all(
    readContact(body.contactId), context.access, readResponse(idempotencyKey), readAgent(body), readAllowedFields(body)
  )
  return {
    queries,
    decide: (rows) => {
      const [previous, , { response, anyExpired }, isAgent, allowedFields] = decide(rows)
      if (response !== undefined) return { result: { ...response, replayed: true }, writes: [] }

      if (previous === undefined) throw new ContactNotFoundError()
      const { version } = previous.row
      if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(`"${version}"`)) throw new ContactVersionMismatchError(version)
      const updated = changeContact(body, previous, isAgent, allowedFields, context.createMatcher, updateId)
      return decideWrites(context, previous, updated, anyExpired)
    }
  }
}

function decideWrites (
  context: UpdateContext, previous: StoredContact, updated: StoredContact | undefined, anyExpired: boolean
): Decision<UpdateResult> {
  const { updateId, idempotencyKey, beforeCommit } = context
  // Made before anything is written: if the stored JSON is broken, this throws.
  const answer = `{"contact":${contactToJson(updated ?? previous)},"success":true}`
  const result: UpdateResult = { version: (updated ?? previous).row.version, answer, replayed: false }

  const writes = updated === undefined ? [] : writesOf(previous, updated)
  if (idempotencyKey !== undefined) writes.push(...storeResponse(idempotencyKey, previous.row.id, answer, anyExpired))
  const outcome = writes.length > 0 ? readOutcome(context, previous, result) : undefined
  if (updated === undefined) return { result, writes, outcome }

  const change = result.change = { updateId, updated, previous }
  writes.push(queries.checkLastUpdate({ contactId: previous.row.id, updateId }, (version) => { result.version = version }))
  return { result, writes, outcome, beforeCommit: beforeCommit && ((connection) => beforeCommit(change, connection)) }
}

/**
 * Looks up whether the update was committed. The contact has the id of its last update: our id means committed, the previous id means
 * rolled back. After a later update, only the response that is stored for our key can tell. Another node may have stored it for the same
 * request: it is replayed then.
 */
function readOutcome (
  { updateId, idempotencyKey }: UpdateContext, previous: StoredContact, result: UpdateResult
): Read<CommitOutcome<UpdateResult>> {
  const lookup = readResponse(idempotencyKey)
  const keyExpiresAt = Date.now() + (idempotencyKey?.windowMs ?? 0)
  return {
    queries: [queries.findLastUpdate({ contactId: previous.row.id }), ...lookup.queries],
    decide: ([row, ...rows]) => {
      const stored = row as { update_id: string | null, version: number, created_at: string } | undefined
      if (stored?.update_id === updateId) return { committed: { ...result, version: stored.version } }
      const { response } = lookup.decide(rows)
      if (response !== undefined) {
        // If another update has taken our version, ours was rolled back, and another node has stored an equal response.
        const isOurs = stored?.version !== result.version && response.version === result.version && response.answer === result.answer
        return { committed: isOurs ? result : { ...response, replayed: true } }
      }
      // The contact was deleted, perhaps after our update, and perhaps made anew. Its stored responses are gone.
      if (stored?.created_at !== previous.row.created_at) return 'unknown'
      // A committed update would have stored its response.
      const lacksResponse = idempotencyKey !== undefined && Date.now() < keyExpiresAt
      // The contact has its previous id, or another update has taken our version.
      const hadNoEffect = stored.update_id === previous.row.update_id || stored.version === result.version
      return lacksResponse || hadNoEffect ? 'rolled-back' : 'unknown'
    }
  }
}
