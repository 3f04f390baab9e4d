// All that happens in the transaction of one request, in this order: is it still waited for, may its caller still do it,
// and then the rules.

import { RequestGoneError } from '../errors.js'
import { together, type Steps } from '../store/steps.js'
import { toContact, type StoredContact } from './contact.js'
import type { Fits } from './custom-fields.js'
import type { Contact, UpdateContactBody } from './schemas.js'
import { findForUpdate, updateContact } from './update-contact.js'

/** One request, as far as its transaction must know it. */
export interface Work {
  body: UpdateContactBody
  fits: Fits
  /** Whether nobody has answered the request meanwhile, and its client is still there. */
  isAwaited: () => boolean
  /** Throws when the caller may no longer do it. */
  admit: () => Steps<void>
}

/** What was done. `previous` is absent when there was nothing to change. */
export interface Done {
  contact: Contact
  previous: StoredContact | undefined
}

/** @throws {RequestGoneError} before anything is asked, whatever `admit` throws, and what the rules refuse */
export function * unitOfWork ({ body, fits, isAwaited, admit }: Work): Steps<Done> {
  if (!isAwaited()) throw new RequestGoneError()
  const [, found] = yield * together(admit(), findForUpdate(body))
  const { updated, previous } = yield * updateContact(body, found, fits)
  // Before COMMIT: a row that cannot be shown undoes the update.
  return { contact: toContact(updated), previous }
}
