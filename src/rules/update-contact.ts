// The rules of the update, free of SQL and HTTP. They run inside one transaction, so they may throw at any point:
// whatever was written before is undone.

import { findContact, type StoredContact } from './contact.js'
import { mergeCustomFields, type Fits } from './custom-fields.js'
import { ContactManagerNotFoundError, ContactNotFoundError, InvalidOperationError } from '../errors.js'
import * as queries from '../store/queries.js'
import type { UpdateContactBody } from './schemas.js'
import type { Steps } from '../store/sqlite/runner.js'

/** What an update did. `previous` is absent when there was nothing to change. */
export interface ContactUpdate {
  updated: StoredContact
  previous?: StoredContact
}

/**
 * Updates a contact and what carries its name.
 *
 * @throws {ContactNotFoundError} {ContactManagerNotFoundError} {InvalidCustomFieldError}
 * {CustomFieldNotAllowedError} {InvalidOperationError} in this order
 */
export function * updateContact (body: UpdateContactBody, fits: Fits): Steps<ContactUpdate> {
  const { contactId } = body
  const previous = yield * findContact(contactId)
  if (previous === undefined) throw new ContactNotFoundError()
  const { row } = previous

  const contactManager = body.contactManager ?? undefined
  if (contactManager !== undefined && contactManager !== '') {
    const agent = yield * queries.findAgent({ userId: contactManager })
    if (agent === undefined) throw new ContactManagerNotFoundError()
  }

  let customFields: string | undefined
  if (body.customFields != null) {
    const allowed = yield * queries.listAllowedCustomFields({})
    const storedFields = JSON.parse(row.custom_fields) as Record<string, unknown>
    customFields = JSON.stringify(mergeCustomFields(allowed, storedFields, body.customFields, fits))
  }

  const name = body.name?.toWellFormed()
  if (name === '' && row.name !== '') throw new InvalidOperationError()

  const emails = body.emails?.map((address) => address.toWellFormed())
  const phones = body.phones?.map((phoneNumber) => phoneNumber.toWellFormed())
  const wipesConflicts = body.wipeConflicts === true
  const sent = [name, emails, phones, customFields, contactManager]
  if (!wipesConflicts && sent.every((part) => part === undefined)) return { updated: previous }

  const now = new Date().toISOString()
  const updated: StoredContact = {
    row: {
      ...row,
      name: name ?? row.name,
      contact_manager: contactManager === undefined ? row.contact_manager : contactManager === '' ? null : contactManager,
      custom_fields: customFields ?? row.custom_fields,
      conflicting_fields: wipesConflicts ? '[]' : row.conflicting_fields,
      unknown: 0,
      updated_at: now
    },
    emails: emails ?? previous.emails,
    phones: phones ?? previous.phones,
    channels: previous.channels
  }

  yield * queries.updateContactRow({
    contactId,
    name: updated.row.name,
    contactManager: updated.row.contact_manager,
    customFields: updated.row.custom_fields,
    conflictingFields: updated.row.conflicting_fields,
    now
  })
  yield * replaceLists(previous, updated)
  if (wipesConflicts) yield * countConflicts(row.conflicting_fields)
  if (updated.row.name !== row.name) yield * carryName(updated, now)

  return { updated, previous }
}

// The web client sends the whole form with one thing changed, so a list that stays the same is not written.
function * replaceLists (previous: StoredContact, { row: { id: contactId }, emails, phones }: StoredContact): Steps<void> {
  if (!isSameList(emails, previous.emails)) {
    yield * queries.putEmails({ contactId, addresses: JSON.stringify(emails) })
    yield * queries.deleteEmailsFrom({ contactId, position: emails.length })
  }
  if (!isSameList(phones, previous.phones)) {
    yield * queries.putPhones({ contactId, phoneNumbers: JSON.stringify(phones) })
    yield * queries.deletePhonesFrom({ contactId, position: phones.length })
  }
}

function isSameList (a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}

function * countConflicts (conflictingFields: string): Steps<void> {
  const count = (JSON.parse(conflictingFields) as unknown[]).length
  if (count > 0) yield * queries.addToStatistic({ name: 'Resolved_Conflicts_Count', count })
}

function * carryName ({ row: { id, name }, channels }: StoredContact, now: string): Steps<void> {
  yield * queries.renameRooms({ contactId: id, name, now })
  for (const visitorId of new Set(channels.map((channel) => channel.visitor_id))) {
    yield * queries.renameSubscriptions({ visitorId, name, now })
    yield * queries.renameInquiries({ visitorId, name, now })
  }
}
