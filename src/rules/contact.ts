// A contact: its rows, and what the API makes of them.

import * as queries from '../store/queries.js'
import { read, type Read } from '../store/operation.js'
import type { ContactChannelTable, ContactTable } from '../store/tables.js'
import { scanObject } from './json-object.js'
import type { Contact, ContactChannel } from './wire-schemas.js'

type ContactRow = Omit<ContactTable, 'enabled'>
type ChannelRow = Omit<ContactChannelTable, 'contact_id' | 'position'>

/** A contact as the rules see it, with the lists that hang on its row. */
export interface StoredContact {
  row: ContactRow
  emails: string[]
  phones: string[]
  channels: ChannelRow[]
}

/** Reads an enabled contact. Its row comes first, and is locked where rows are. */
export function readContact (contactId: string): Read<StoredContact | undefined> {
  return read(
    [
      queries.findEnabledContact({ contactId }),
      queries.listEmails({ contactId }),
      queries.listPhones({ contactId }),
      queries.listChannels({ contactId })
    ],
    (row, emails, phones, channels) => row && {
      row,
      emails: emails.map((email) => email.address),
      phones: phones.map((phone) => phone.phone_number),
      channels
    }
  )
}

/** The contact as the API shows it. */
export function toContact ({ row, emails, phones, channels }: StoredContact): Contact {
  return {
    _id: row.id,
    createdAt: row.created_at,
    _updatedAt: row.updated_at,
    name: row.name,
    emails: emails.map((address) => ({ address })),
    phones: phones.map((phoneNumber) => ({ phoneNumber })),
    channels: channels.map(toChannel),
    customFields: JSON.parse(row.custom_fields) as Contact['customFields'],
    unknown: row.unknown === 1,
    preRegistration: row.pre_registration === 1,
    conflictingFields: JSON.parse(row.conflicting_fields) as Contact['conflictingFields'],
    ...toLastChat(row),
    ...row.contact_manager !== null && { contactManager: row.contact_manager }
  }
}

/** Longer ones are not parsed to be shown. */
const MAX_PARSED = 16_384

/** The same as JSON. */
export function toJson (stored: StoredContact): string {
  const { row } = stored
  const isParsed = row.custom_fields.length <= MAX_PARSED || !scanObject(row.custom_fields)
  if (isParsed) return JSON.stringify(toContact(stored))
  const contact = Object.entries(toContact({ ...stored, row: { ...row, custom_fields: '{}' } }))
  return `{${contact.map(([key, value]) => `"${key}":${key === 'customFields' ? row.custom_fields : JSON.stringify(value)}`).join()}}`
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
