// The rules of the update for the targets by hand and with plain Kysely.

import type { Selectable } from 'kysely'
import type { Contact, SqliteTables, UpdateContactBody } from '../../src/index.js'
import { Refusal } from './route.js'

type Table<Name extends keyof SqliteTables> = Selectable<SqliteTables[Name]>

export type ContactRow = Omit<Table<'omnichannel_contact'>, 'custom_fields' | 'conflicting_fields' | 'unknown' | 'pre_registration' | 'enabled' | 'version' | 'update_id'> & {
  custom_fields: Record<string, unknown>
  conflicting_fields: Contact['conflictingFields']
  unknown: boolean
  pre_registration: boolean
}

export type ChannelRow = Omit<Table<'omnichannel_contact_channel'>, 'contact_id' | 'position' | 'blocked' | 'verified' | 'details'> & {
  blocked: boolean
  verified: boolean
  details: Record<string, unknown>
}

export interface CustomField {
  id: string
  label: string
  required: boolean
  regexp: string
}

export interface Stored {
  row: ContactRow
  emails: string[]
  phones: string[]
  channels: ChannelRow[]
  /** Whether the manager that was sent is an agent. Undefined if none was sent. */
  isAgent: boolean | undefined
  /** Undefined if no custom fields were sent. */
  customFields: CustomField[] | undefined
}

/** Returns the contact after the update. Undefined if the body changes nothing. */
export function applyUpdate (body: UpdateContactBody, stored: Stored): Stored | undefined {
  const { name, emails, phones, customFields, contactManager, wipeConflicts } = body
  const { row } = stored
  if (stored.isAgent === false) throw new Refusal(400, 'error-contact-manager-not-found')
  const merged = customFields != null && stored.customFields !== undefined
    ? mergeCustomFields(stored.customFields, row.custom_fields, customFields)
    : row.custom_fields
  if (name === '' && row.name !== '') throw new Refusal(400, 'error-invalid-operation')
  if ([name, emails, phones, customFields, contactManager].every((part) => part == null) && wipeConflicts !== true) return undefined
  return {
    ...stored,
    emails: emails ?? stored.emails,
    phones: phones ?? stored.phones,
    row: {
      ...row,
      name: name ?? row.name,
      contact_manager: contactManager == null ? row.contact_manager : contactManager === '' ? null : contactManager,
      custom_fields: merged,
      conflicting_fields: wipeConflicts === true ? [] : row.conflicting_fields,
      unknown: false,
      updated_at: new Date().toISOString()
    }
  }
}

const patterns = new Map<string, RegExp>()

function patternOf (source: string): RegExp {
  let pattern = patterns.get(source)
  if (pattern === undefined) patterns.set(source, pattern = new RegExp(source))
  return pattern
}

function mergeCustomFields (fields: CustomField[], stored: Record<string, unknown>, sent: Record<string, unknown>): Record<string, unknown> {
  const merged: Record<string, unknown> = {}
  for (const { id, label, required, regexp } of fields) {
    const value = (sent[id] ?? '') as string | number | boolean | object
    const text = typeof value === 'object' ? undefined : String(value).trim()
    const isValid = text === '' ? !required : text !== undefined && (regexp === '' || patternOf(regexp).test(text))
    if (!isValid) throw new Refusal(400, `Invalid value for ${label || id} field`)
    if (text !== '') merged[id] = text
  }
  const allowed = new Set(fields.map(({ id }) => id))
  for (const key of Object.keys(sent)) {
    if (!allowed.has(key) && !(key in stored)) throw new Refusal(400, `Custom field ${key} is not allowed`)
  }
  for (const [key, value] of Object.entries(stored)) if (!allowed.has(key)) merged[key] = value
  return merged
}

/** Whether two lists are equal, so that the second need not be written. */
export function isSame (a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}

export function toContact ({ row, emails, phones, channels }: Stored): Contact {
  return {
    _id: row.id,
    createdAt: row.created_at,
    _updatedAt: row.updated_at,
    name: row.name,
    emails: emails.map((address) => ({ address })),
    phones: phones.map((phoneNumber) => ({ phoneNumber })),
    channels: channels.map((channel) => ({
      name: channel.name,
      visitor: {
        visitorId: channel.visitor_id,
        source: { type: channel.source_type, ...channel.source_id !== null && { id: channel.source_id } }
      },
      blocked: channel.blocked,
      verified: channel.verified,
      details: { type: channel.source_type, ...channel.details },
      ...channel.field !== null && { field: channel.field },
      ...channel.value !== null && { value: channel.value },
      ...channel.verified_at !== null && { verifiedAt: channel.verified_at },
      ...lastChatOf(channel)
    })),
    customFields: row.custom_fields,
    unknown: row.unknown,
    preRegistration: row.pre_registration,
    conflictingFields: row.conflicting_fields,
    ...lastChatOf(row),
    ...row.contact_manager !== null && { contactManager: row.contact_manager }
  }
}

function lastChatOf ({ last_chat_id: id, last_chat_at: at }: Pick<ContactRow, 'last_chat_id' | 'last_chat_at'>): Pick<Contact, 'lastChat'> {
  return id !== null && at !== null ? { lastChat: { _id: id, ts: at } } : {}
}
