// The rules of the update (test/contract.md, section 5), free of SQL and HTTP. All that is read is read first and all that is
// written is written last; what lies between decides and asks nobody.

import { ContactManagerNotFoundError, InvalidOperationError } from '../errors.js'
import * as queries from '../store/queries.js'
import { ask, together, type Query, type Steps } from '../store/steps.js'
import { findContact, type StoredContact } from './contact.js'
import { mergeCustomFields, type CustomField, type Fits } from './custom-fields.js'
import type { UpdateContactBody } from './schemas.js'

/** What the rules must know before they decide. */
export interface Found {
  previous: StoredContact | undefined
  /** Whether the contact manager that was sent is an agent; undefined where none was. */
  agent: object | undefined
  /** The definitions that count; undefined where no custom fields were sent. */
  customFields: CustomField[] | undefined
}

/** Reads all that an update is judged by. */
export function * findForUpdate (body: UpdateContactBody): Steps<Found> {
  const userId = body.contactManager ?? ''
  const [previous, [agent, customFields]] = yield * together(findContact(body.contactId), ask(
    userId === '' ? undefined : queries.findAgent({ userId }),
    body.customFields == null ? undefined : queries.listAllowedCustomFields({})
  ))
  return { previous, agent, customFields }
}

/**
 * The contact as it will be; undefined when nothing was sent that could change it.
 *
 * @throws {ContactManagerNotFoundError} {InvalidCustomFieldError} {CustomFieldNotAllowedError} {InvalidOperationError}
 * in this order
 */
export function changeContact (body: UpdateContactBody, previous: StoredContact, found: Found, fits: Fits): StoredContact | undefined {
  const { row } = previous
  const contactManager = body.contactManager ?? undefined
  if (contactManager !== undefined && contactManager !== '' && found.agent === undefined) throw new ContactManagerNotFoundError()

  let customFields: string | undefined
  if (body.customFields != null && found.customFields !== undefined) {
    customFields = mergeCustomFields(found.customFields, row.custom_fields, body.customFields, fits)
  }

  const name = body.name?.toWellFormed()
  if (name === '' && row.name !== '') throw new InvalidOperationError()

  const emails = body.emails?.map((address) => address.toWellFormed())
  const phones = body.phones?.map((phoneNumber) => phoneNumber.toWellFormed())
  const wipesConflicts = body.wipeConflicts === true
  const sent = [name, emails, phones, customFields, contactManager]
  if (!wipesConflicts && sent.every((part) => part === undefined)) return undefined

  return {
    row: {
      ...row,
      name: name ?? row.name,
      contact_manager: contactManager === undefined ? row.contact_manager : contactManager === '' ? null : contactManager,
      custom_fields: customFields ?? row.custom_fields,
      conflicting_fields: wipesConflicts ? '[]' : row.conflicting_fields,
      unknown: 0,
      version: row.version + 1,
      updated_at: new Date().toISOString()
    },
    emails: emails ?? previous.emails,
    phones: phones ?? previous.phones,
    channels: previous.channels
  }
}

/** What writes the change: the contact, its lists, and what carries its name. */
export function writesOf (previous: StoredContact, updated: StoredContact): Query[] {
  const { row, emails, phones, channels } = updated
  const { id: contactId, name, updated_at: now } = row
  const writes: Query[] = [queries.updateContactRow({
    contactId,
    name,
    contactManager: row.contact_manager,
    customFields: row.custom_fields,
    conflictingFields: row.conflicting_fields,
    now
  })]
  // The web client sends the whole form with one thing changed, so a list that stays the same is not written.
  if (!isSameList(emails, previous.emails)) {
    writes.push(queries.putEmails({ contactId, addresses: emails }))
    if (emails.length < previous.emails.length) writes.push(queries.deleteEmailsFrom({ contactId, position: emails.length }))
  }
  if (!isSameList(phones, previous.phones)) {
    writes.push(queries.putPhones({ contactId, phoneNumbers: phones }))
    if (phones.length < previous.phones.length) writes.push(queries.deletePhonesFrom({ contactId, position: phones.length }))
  }
  if (name !== previous.row.name) {
    writes.push(queries.renameRooms({ contactId, name, now }))
    // Sorted, so that two renames which share visitors go through them in one order.
    for (const visitorId of [...new Set(channels.map((channel) => channel.visitor_id))].sort()) {
      writes.push(queries.renameSubscriptions({ visitorId, name, now }), queries.renameInquiries({ visitorId, name, now }))
    }
  }
  if (row.conflicting_fields !== previous.row.conflicting_fields) {
    const { length: count } = JSON.parse(previous.row.conflicting_fields) as unknown[]
    if (count > 0) writes.push(queries.addToStatistic({ name: 'Resolved_Conflicts_Count', count }))
  }
  return writes
}

function isSameList (a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}
