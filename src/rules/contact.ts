import * as queries from '../store/queries.js'
import { read, type Read } from '../store/operation.js'
import type { ChannelRow, ContactRow } from '../store/tables.js'
import { scanObject } from './json-object.js'
import type { Contact, ContactChannel } from './wire-schemas.js'

/** An e-mail address or a phone number. If the host has deleted rows, positions have gaps. */
export interface ListItem {
  position: number
  value: string
}

/** A contact as it is stored: its row and its lists. */
export interface StoredContact {
  row: ContactRow
  emails: ListItem[]
  phones: ListItem[]
  channels: ChannelRow[]
}

/** Reads an enabled contact. The first query locks its row on PostgreSQL. */
export function readContact (contactId: string): Read<StoredContact | undefined> {
  return read(
    [
      queries.findEnabledContact({ contactId }),
      queries.emails.list({ contactId }),
      queries.phones.list({ contactId }),
      queries.listChannels({ contactId })
    ],
    // A column of the host may ignore case. The lists were then read with another id.
    (row, emails, phones, channels) => row?.id === contactId ? { row, emails, phones, channels } : undefined
  )
}

/** In characters. Longer JSON is copied as text, because parsing it would block the event loop. It is parsed only for hooks that read it. */
export const MAX_PARSED_JSON = 16_384

/** Whether parsing all JSON of a contact would take long. */
export function isLarge ({ row, channels }: StoredContact): boolean {
  // A view of the host's may have NULL in place of JSON, which `join` leaves out.
  return [row.custom_fields, row.conflicting_fields, ...channels.map(({ details }) => details)].join('').length > MAX_PARSED_JSON
}

/** The contact as the API shows it, as JSON. */
export function contactToJson (stored: StoredContact): string {
  if (!isLarge(stored)) return JSON.stringify(toContact(stored))
  const { row, channels } = stored
  return objectToJson(toContact(stored, {}, []), { customFields: scanObject(row.custom_fields), channels: `[${channels.map(channelToJson).join()}]` })
}

function channelToJson (channel: ChannelRow): string {
  // NULL, or JSON of another type, is possible in a view or table of the host's.
  const text = (channel.details as string | null)?.trimStart() ?? ''
  if (text.length <= MAX_PARSED_JSON || !text.startsWith('{')) return JSON.stringify(toChannel(channel))
  const keys = new Set<string>()
  const details = scanObject(text, (key) => { keys.add(key) })
  // Details without a `type` get that of the source, as their first key.
  const type = keys.has('type') ? '' : `"type":${JSON.stringify(channel.source_type)}${keys.size > 0 ? ',' : ''}`
  return objectToJson(toChannel({ ...channel, details: '{}' }), { details: `{${type}${details.slice(1)}` })
}

/** @param texts members that are JSON already */
function objectToJson (members: object, texts: Partial<Record<string, string>>): string {
  return `{${Object.entries(members).map(([key, value]) => `"${key}":${texts[key] ?? JSON.stringify(value)}`).join()}}`
}

/** The contact as the API shows it. Custom fields and channels can be given if they are parsed already, or need not be. */
export function toContact (
  { row, emails, phones, channels }: StoredContact,
  customFields = JSON.parse(row.custom_fields) as Contact['customFields'],
  shownChannels = channels.map(toChannel)
): Contact {
  return {
    _id: row.id,
    createdAt: row.created_at,
    _updatedAt: row.updated_at,
    name: row.name,
    emails: emails.map(({ value }) => ({ address: value })),
    phones: phones.map(({ value }) => ({ phoneNumber: value })),
    channels: shownChannels,
    customFields,
    unknown: row.unknown === 1,
    preRegistration: row.pre_registration === 1,
    conflictingFields: JSON.parse(row.conflicting_fields) as Contact['conflictingFields'],
    ...toLastChat(row),
    ...row.contact_manager !== null && { contactManager: row.contact_manager }
  }
}

function toChannel (row: ChannelRow): ContactChannel {
  return {
    name: row.name,
    visitor: {
      visitorId: row.visitor_id,
      source: { type: row.source_type, ...row.source_id !== null && { id: row.source_id } }
    },
    blocked: row.blocked === 1,
    verified: row.verified === 1,
    details: { type: row.source_type, ...JSON.parse(row.details) as Record<string, unknown> },
    ...row.field !== null && { field: row.field },
    ...row.value !== null && { value: row.value },
    ...row.verified_at !== null && { verifiedAt: row.verified_at },
    ...toLastChat(row)
  }
}

function toLastChat (row: { last_chat_id: string | null, last_chat_at: string | null }): Pick<Contact, 'lastChat'> {
  return row.last_chat_id !== null && row.last_chat_at !== null
    ? { lastChat: { _id: row.last_chat_id, ts: row.last_chat_at } }
    : {}
}
