// The rules of the update: docs/contract.md, section 5.

import { ContactManagerNotFoundError, InvalidOperationError } from '../errors.js'
import { read, withoutQueries, type Query, type Read } from '../store/operation.js'
import * as queries from '../store/queries.js'
import type { ListItem, StoredContact } from './contact.js'
import { mergeCustomFields, type CustomField, type MatchPattern } from './custom-fields.js'
import type { UpdateContactBody } from './wire-schemas.js'

export function readAgent ({ contactManager }: UpdateContactBody): Read<boolean> {
  if (contactManager == null || contactManager === '') return withoutQueries(false)
  return read([queries.findAgent({ userId: contactManager })], (agent) => agent?.id === contactManager)
}

export function readAllowedFields ({ customFields }: UpdateContactBody): Read<CustomField[]> {
  if (customFields == null) return withoutQueries([])
  return read([queries.listAllowedCustomFields({})], (definitions) => definitions)
}

/**
 * Returns the updated contact, or undefined if the body asks for no change.
 *
 * @throws {ContactManagerNotFoundError | InvalidCustomFieldError | CustomFieldNotAllowedError | InvalidOperationError} in this order
 */
export function changeContact (
  body: UpdateContactBody, previous: StoredContact, isAgent: boolean, allowedFields: CustomField[],
  createMatcher: (reservedMs: number) => MatchPattern, updateId: string
): StoredContact | undefined {
  const { row } = previous
  const { name, emails, phones, customFields: sentFields, contactManager, wipeConflicts } = body
  if (contactManager != null && contactManager !== '' && !isAgent) throw new ContactManagerNotFoundError()
  const customFields = sentFields == null
    ? undefined
    : mergeCustomFields(allowedFields, row.custom_fields, sentFields, createMatcher(estimateMs(previous, body)))
  if (name === '' && row.name !== '') throw new InvalidOperationError()
  const asksForChange = wipeConflicts === true || [name, emails, phones, customFields, contactManager].some((part) => part != null)
  if (!asksForChange) return undefined

  return {
    row: {
      ...row,
      name: name ?? row.name,
      contact_manager: contactManager === '' ? null : contactManager ?? row.contact_manager,
      custom_fields: customFields ?? row.custom_fields,
      conflicting_fields: wipeConflicts === true ? '[]' : row.conflicting_fields,
      unknown: 0,
      version: row.version + 1,
      updated_at: new Date().toISOString(),
      update_id: updateId
    },
    emails: emails?.map(toItem) ?? previous.emails,
    phones: phones?.map(toItem) ?? previous.phones,
    channels: previous.channels
  }
}

/** About how many milliseconds an update takes without its patterns. It is more than one only for long lists and megabytes of JSON. */
function estimateMs ({ row, emails, phones, channels }: StoredContact, body: UpdateContactBody): number {
  const items = emails.length + phones.length + (body.emails?.length ?? 0) + (body.phones?.length ?? 0)
  return items / 1500 + channels.length / 150 + row.custom_fields.length / 50_000
}

function toItem (value: string, position: number): ListItem {
  return { position, value }
}

/** The queries that write the updated contact, and the copies of its name in rooms, subscriptions and inquiries. */
export function writesOf (previous: StoredContact, { row, emails, phones, channels }: StoredContact): Query[] {
  const { id: contactId, name, updated_at: now } = row
  const changesJson = row.custom_fields !== previous.row.custom_fields || row.conflicting_fields !== previous.row.conflicting_fields
  const updateRow = changesJson ? queries.updateContactRow : queries.updateContactRowExceptJson
  const writes: Query[] = [
    updateRow(row),
    ...writesOfList(queries.emails, contactId, previous.emails, emails),
    ...writesOfList(queries.phones, contactId, previous.phones, phones)
  ]

  if (name !== previous.row.name) {
    writes.push(queries.renameRooms({ contactId, name, now }))
    // Sorted, so that two renames which share visitors do not deadlock.
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

/** Writes only the items that differ. Rocket.Chat's web client sends the whole form, so most lists are unchanged or differ by one item. */
function writesOfList (
  { put, putItem, deleteFromPosition, checkNoneFromPosition }: typeof queries.emails, contactId: string, before: ListItem[], items: ListItem[]
): Query[] {
  // The list was not sent. It may have gaps.
  if (items === before) return []
  const changed = items.filter(({ position, value }, index) => {
    const stored = before[index]
    return stored?.position !== position || stored.value !== value
  })
  const deleteFrom = (position: number): Query[] => before.some((item) => item.position >= position)
    ? [deleteFromPosition({ contactId, position }), checkNoneFromPosition({ contactId, position })]
    : []

  const [first] = changed
  if (first === undefined) return deleteFrom(items.length)
  if (changed.length === 1) return [...deleteFrom(items.length), putItem({ contactId, ...first }, 1)]
  // Several items may swap their values, and the host may have a UNIQUE index. So delete all from the first on before they are written.
  const { position } = first
  return [...deleteFrom(position), put({ contactId, position, items: items.map(({ value }) => value) }, items.length - position)]
}
