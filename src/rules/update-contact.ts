// The rules of the update (test/contract.md, section 5), free of SQL and HTTP.

import { ContactManagerNotFoundError, InvalidOperationError } from '../errors.js'
import { always, read, type Query, type Read } from '../store/operation.js'
import * as queries from '../store/queries.js'
import type { StoredContact } from './contact.js'
import { mergeCustomFields, type CustomField, type Fits } from './custom-fields.js'
import type { UpdateContactBody } from './wire-schemas.js'

/** What the body refers to. */
export interface References {
  isAgent: boolean
  /** The definitions that count; undefined where no custom fields were sent. */
  customFields: CustomField[] | undefined
}

export function readAgent ({ contactManager }: UpdateContactBody): Read<boolean> {
  if (contactManager == null || contactManager === '') return always(false)
  return read([queries.findAgent({ userId: contactManager })], (agent) => agent !== undefined)
}

export function readCustomFields ({ customFields }: UpdateContactBody): Read<CustomField[] | undefined> {
  if (customFields == null) return always(undefined)
  return read([queries.listAllowedCustomFields({})], (definitions) => definitions)
}

/**
 * The contact as it will be; undefined when nothing was sent that could change it.
 *
 * @throws {ContactManagerNotFoundError} {InvalidCustomFieldError} {CustomFieldNotAllowedError} {InvalidOperationError}
 * in this order
 */
export function changeContact (
  body: UpdateContactBody, previous: StoredContact, { isAgent, customFields: definitions }: References, fits: Fits, updateId: string
): StoredContact | undefined {
  const { row } = previous
  const contactManager = body.contactManager ?? undefined
  if (contactManager !== undefined && contactManager !== '' && !isAgent) throw new ContactManagerNotFoundError()

  let customFields: string | undefined
  if (body.customFields != null && definitions !== undefined) {
    customFields = mergeCustomFields(definitions, row.custom_fields, body.customFields, fits)
  }

  const { name } = body
  if (name === '' && row.name !== '') throw new InvalidOperationError()

  const emails = body.emails ?? undefined
  const phones = body.phones ?? undefined
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
      updated_at: new Date().toISOString(),
      update_id: updateId
    },
    emails: emails ?? previous.emails,
    phones: phones ?? previous.phones,
    channels: previous.channels
  }
}

/** What writes the change: the contact, its lists, and what carries its name. */
export function writesOf (previous: StoredContact, updated: StoredContact, updateId: string): Query[] {
  const { row, emails, phones, channels } = updated
  const { id: contactId, name, updated_at: now } = row
  const writes: Query[] = [queries.updateContactRow({
    contactId,
    name,
    contactManager: row.contact_manager,
    customFields: row.custom_fields,
    conflictingFields: row.conflicting_fields,
    updateId,
    now
  }, 1)]
  // The web client sends the whole form with one thing changed, so a list that stays the same is not written.
  const changedEmails = countChanged(emails, previous.emails)
  if (changedEmails > 0) writes.push(queries.putEmails({ contactId, addresses: emails }, changedEmails))
  const goneEmails = previous.emails.length - emails.length
  if (goneEmails > 0) writes.push(queries.deleteEmailsFrom({ contactId, position: emails.length }, goneEmails))

  const changedPhones = countChanged(phones, previous.phones)
  if (changedPhones > 0) writes.push(queries.putPhones({ contactId, phoneNumbers: phones }, changedPhones))
  const gonePhones = previous.phones.length - phones.length
  if (gonePhones > 0) writes.push(queries.deletePhonesFrom({ contactId, position: phones.length }, gonePhones))

  if (name !== previous.row.name) {
    writes.push(queries.renameRooms({ contactId, name, now }))
    // Sorted, so that two renames which share visitors lock them in one order.
    for (const visitorId of [...new Set(channels.map((channel) => channel.visitor_id))].sort()) {
      writes.push(queries.renameSubscriptions({ visitorId, name, now }), queries.renameInquiries({ visitorId, name, now }))
    }
  }
  if (row.conflicting_fields !== previous.row.conflicting_fields) {
    const { length: count } = JSON.parse(previous.row.conflicting_fields) as unknown[]
    if (count > 0) writes.push(queries.addToStatistic({ name: 'Resolved_Conflicts_Count', count }, 1))
  }
  return writes
}

/** How many positions hold another item than before. */
function countChanged (items: string[], before: string[]): number {
  let count = 0
  for (let index = 0; index < items.length; index++) if (items[index] !== before[index]) count++
  return count
}
