// The rules of the update, free of SQL and HTTP. They run inside one transaction, so they may throw at any point:
// whatever was written before is undone.

import { toContact, type StoredContact } from './contact.js'
import { mergeCustomFields, type Fits } from './custom-fields.js'
import { ContactManagerNotFoundError, ContactNotFoundError, InvalidOperationError } from './errors.js'
import * as queries from './queries.js'
import type { Contact, UpdateContactBody } from './schemas.js'
import type { Steps } from './statement.js'

/** What an update did. `previous` is absent when there was nothing to change. */
export interface ContactUpdate {
  contact: Contact
  previous?: Contact
}

/**
 * Updates a contact and what carries its name.
 *
 * @throws {ContactNotFoundError} {ContactManagerNotFoundError} {InvalidCustomFieldError}
 * {CustomFieldNotAllowedError} {InvalidOperationError} in this order
 */
export function * updateContact (body: UpdateContactBody, fits: Fits): Steps<ContactUpdate> {
  const { contactId } = body
  const stored = yield * findContact(contactId)
  if (stored === undefined) throw new ContactNotFoundError()
  const { row } = stored

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
  if (!wipesConflicts && sent.every((part) => part === undefined)) return { contact: toContact(stored) }

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
    emails: emails ?? stored.emails,
    phones: phones ?? stored.phones,
    channels: stored.channels
  }
  const previous = toContact(stored)

  yield * queries.updateContactRow({
    contactId,
    name: updated.row.name,
    contactManager: updated.row.contact_manager,
    customFields: updated.row.custom_fields,
    conflictingFields: updated.row.conflicting_fields,
    now
  })
  yield * replaceEmails(contactId, stored.emails, updated.emails)
  yield * replacePhones(contactId, stored.phones, updated.phones)
  if (wipesConflicts && previous.conflictingFields.length > 0) {
    yield * queries.addToStatistic({ name: 'Resolved_Conflicts_Count', count: previous.conflictingFields.length })
  }
  if (updated.row.name !== row.name) yield * carryName(updated, now)

  return { contact: toContact(updated), previous }
}

function * findContact (contactId: string): Steps<StoredContact | undefined> {
  const row = yield * queries.findEnabledContact({ contactId })
  if (row === undefined) return undefined
  const emails = yield * queries.listEmails({ contactId })
  const phones = yield * queries.listPhones({ contactId })
  const channels = yield * queries.listChannels({ contactId })
  return {
    row,
    emails: emails.map((email) => email.address),
    phones: phones.map((phone) => phone.phone_number),
    channels
  }
}

// The web client sends the whole form with one thing changed, so only the positions that differ are written.

function * replaceEmails (contactId: string, before: string[], after: string[]): Steps<void> {
  for (const [position, address] of after.entries()) {
    if (address !== before[position]) yield * queries.putEmail({ contactId, position, address })
  }
  if (after.length < before.length) yield * queries.deleteEmailsFrom({ contactId, position: after.length })
}

function * replacePhones (contactId: string, before: string[], after: string[]): Steps<void> {
  for (const [position, phoneNumber] of after.entries()) {
    if (phoneNumber !== before[position]) yield * queries.putPhone({ contactId, position, phoneNumber })
  }
  if (after.length < before.length) yield * queries.deletePhonesFrom({ contactId, position: after.length })
}

function * carryName ({ row: { id, name }, channels }: StoredContact, now: string): Steps<void> {
  yield * queries.renameRooms({ contactId: id, name, now })
  for (const visitorId of new Set(channels.map((channel) => channel.visitor_id))) {
    yield * queries.renameSubscriptions({ visitorId, name, now })
    yield * queries.renameInquiries({ visitorId, name, now })
  }
}
