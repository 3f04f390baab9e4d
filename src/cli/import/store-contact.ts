// Stores a document of rocketchat_livechat_contact in the tables of contacts.

import type { Connection } from '../../store/sqlite/connection.js'
import { SOURCE_TYPES } from '../../store/tables.js'
import { insert, upsert, type Row, type StoreDocument } from './collection.js'
import { flag, idOf, list, object, plain, text, textOrNull, timeOrNull, type Document } from './extended-json.js'

export const storeContact: StoreDocument = (database, document) => {
  const id = idOf(document)
  const contact = readContact(id, document)
  const lists = {
    omnichannel_contact_email: list(document.emails, 'emails').map((email) => ({ address: text(object(email, 'emails').address, 'emails.address') })),
    omnichannel_contact_phone: list(document.phones, 'phones').map((phone) => ({ phone_number: text(object(phone, 'phones').phoneNumber, 'phones.phoneNumber') })),
    omnichannel_contact_channel: list(document.channels, 'channels').map((channel) => readChannel(object(channel, 'channels')))
  }
  const outcome = upsert(database, 'omnichannel_contact', contact, ', version = version + 1')
  for (const [table, rows] of Object.entries(lists)) {
    if (outcome === 'updated') database.run(`DELETE FROM ${table} WHERE contact_id = ?`, [id])
    rows.forEach((row, position) => insert(database, table, { contact_id: id, position, ...row }))
  }
  return outcome
}

/** Disables the enabled contacts that an export lacks. Returns how many there are. If it fails, closing the database rolls it back. */
export function disableMissing (database: Connection, exported: Set<string>, dryRun: boolean): number {
  const enabled = database.column('SELECT id FROM omnichannel_contact WHERE enabled = 1') as string[]
  const missing = enabled.filter((id) => !exported.has(id))
  const now = new Date().toISOString()
  database.exec('BEGIN IMMEDIATE')
  for (const id of missing) database.run('UPDATE omnichannel_contact SET enabled = 0, version = version + 1, updated_at = ? WHERE id = ?', [now, id])
  database.exec(dryRun ? 'ROLLBACK' : 'COMMIT')
  return missing.length
}

function readContact (id: string, document: Document): Row {
  const manager = textOrNull(document.contactManager, 'contactManager')
  const updatedAt = timeOrNull(document._updatedAt, '_updatedAt')
  const createdAt = timeOrNull(document.createdAt, 'createdAt') ?? updatedAt ?? new Date().toISOString()
  return {
    id,
    name: textOrNull(document.name, 'name') ?? '',
    contact_manager: manager === '' ? null : manager,
    custom_fields: JSON.stringify(object(plain(document.customFields), 'customFields')),
    conflicting_fields: JSON.stringify(list(document.conflictingFields, 'conflictingFields').map(readConflict)),
    unknown: flag(document.unknown, 'unknown', false),
    pre_registration: flag(document.preRegistration, 'preRegistration', false),
    ...readLastChat(document.lastChat),
    enabled: flag(document.enabled, 'enabled', true),
    created_at: createdAt,
    updated_at: updatedAt ?? createdAt
  }
}

function readConflict (conflict: unknown): object {
  const { field, value } = object(conflict, 'conflictingFields')
  const read = plain(value) ?? ''
  return { field: text(field, 'conflictingFields.field'), value: typeof read === 'string' ? read : JSON.stringify(read) }
}

function readChannel (channel: Document): Row {
  const visitor = object(channel.visitor, 'channels.visitor')
  const source = object(visitor.source, 'channels.visitor.source')
  const details = object(plain(channel.details), 'channels.details')
  const type = plain(source.type) ?? details.type
  return {
    name: textOrNull(channel.name, 'channels.name') ?? '',
    visitor_id: text(visitor.visitorId, 'channels.visitor.visitorId'),
    source_type: SOURCE_TYPES.find((known) => known === type) ?? 'other',
    source_id: textOrNull(source.id, 'channels.visitor.source.id'),
    blocked: flag(channel.blocked, 'channels.blocked', false),
    verified: flag(channel.verified, 'channels.verified', false),
    verified_at: timeOrNull(channel.verifiedAt, 'channels.verifiedAt'),
    field: textOrNull(channel.field, 'channels.field'),
    value: textOrNull(channel.value, 'channels.value'),
    details: JSON.stringify(details),
    ...readLastChat(channel.lastChat)
  }
}

/** Both or neither: the API does not show a chat without its time. */
function readLastChat (lastChat: unknown): Row {
  const { _id, ts } = object(lastChat, 'lastChat')
  const id = textOrNull(_id, 'lastChat._id')
  const at = timeOrNull(ts, 'lastChat.ts')
  return id === null || at === null ? { last_chat_id: null, last_chat_at: null } : { last_chat_id: id, last_chat_at: at }
}
