// All that happens in the transaction of one request, in this order: is it still waited for, may its caller still do it,
// was it done before, is the contact the one that the caller has seen; then the rules, the host, and the answer.

import { ContactNotFoundError, ContactVersionMismatchError, RequestGoneError } from '../errors.js'
import { together, type Call, type Question, type Steps } from '../store/steps.js'
import { toContact, type StoredContact } from './contact.js'
import type { Fits } from './custom-fields.js'
import { findAnswer, rememberAnswer, type IdempotencyKey, type Remembered } from './idempotency.js'
import type { Contact, UpdateContactBody } from './schemas.js'
import { changeContact, findForUpdate, writesOf } from './update-contact.js'

/** One request, as far as its transaction must know it. */
export interface Work {
  body: UpdateContactBody
  /** Begins to check the custom fields of the request. */
  beginPatterns: () => Fits
  /** The versions of which the contact must have one. */
  ifMatch: readonly string[] | '*' | undefined
  idempotencyKey: IdempotencyKey | undefined
  /** Whether nobody has answered the request meanwhile, and its client is still there. */
  isAwaited: () => boolean
  /** Throws when the caller may no longer do it. */
  admit: () => Steps<void>
  /** The body of the answer. */
  toAnswer: (contact: Contact) => string
  /** What the host does on the connection once the rows are written. */
  beforeCommit: ((change: Change) => Call) | undefined
}

export interface Change {
  contact: Contact
  previous: StoredContact
}

/** What was done: the answer, with the contact's version, and the change where there was one. */
export interface Done extends Remembered {
  replayed: boolean
  change?: Change
}

/** @throws {RequestGoneError} before anything is asked; then whatever `admit` throws, and what the rules refuse */
export function * unitOfWork (work: Work): Steps<Done> {
  const { body, ifMatch, idempotencyKey } = work
  if (!work.isAwaited()) throw new RequestGoneError()

  const replays = idempotencyKey === undefined ? [] : [findAnswer(idempotencyKey)]
  const [, found, known] = yield * together(work.admit(), findForUpdate(body), ...replays)
  if (known?.remembered !== undefined) return { ...known.remembered, replayed: true }

  const { previous } = found
  if (previous === undefined) throw new ContactNotFoundError()
  const { id, version } = previous.row
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(`"${version}"`)) throw new ContactVersionMismatchError(version)

  const updated = changeContact(body, previous, found, work.beginPatterns())
  // Before anything is written: a row that cannot be shown refuses the update.
  const contact = toContact(updated ?? previous)
  const done: Done = { version: (updated ?? previous).row.version, answer: work.toAnswer(contact), replayed: false }
  if (updated !== undefined) done.change = { contact, previous }

  const last: Question[] = updated === undefined ? [] : writesOf(previous, updated)
  if (done.change !== undefined && work.beforeCommit !== undefined) last.push(work.beforeCommit(done.change))
  if (idempotencyKey !== undefined) last.push(...rememberAnswer(idempotencyKey, id, done, known?.outlived === true))
  if (last.length > 0) yield last
  return done
}
