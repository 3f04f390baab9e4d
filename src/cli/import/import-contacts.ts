// Stores a document of rocketchat_livechat_contact in the tables of contacts.

import type Database from 'better-sqlite3'
import { SOURCE_TYPES } from '../../store/tables.js'
import { prepareUpsert, type Collection } from './collection.js'
import { flag, idOf, list, object, plain, text, textOrNull, timeOrNull, type Document } from './extended-json.js'

const contactColumns = [
  'id', 'name', 'contact_manager', 'custom_fields', 'conflicting_fields', 'unknown', 'pre_registration',
  'last_chat_id', 'last_chat_at', 'enabled', 'created_at', 'updated_at'
]
const channelColumns = [
  'name', 'visitor_id', 'source_type', 'source_id', 'blocked', 'verified', 'verified_at', 'field', 'value', 'details',
  'last_chat_id', 'last_chat_at'
]

export const contacts: Collection = {
  name: 'contacts',
  prepare: (database) => {
    const putContact = prepareUpsert(database, 'omnichannel_contact', contactColumns, ', version = version + 1')
    const putEmails = prepareList(database, 'omnichannel_contact_email', ['address'])
    const putPhones = prepareList(database, 'omnichannel_contact_phone', ['phone_number'])
    const putChannels = prepareList(database, 'omnichannel_contact_channel', channelColumns)
    return (document) => {
      const id = idOf(document)
      const contact = readContact(id, document)
      const emails = list(document.emails, 'emails').map((email) => [text(object(email, 'emails').address, 'emails.address')])
      const phones = list(document.phones, 'phones').map((phone) => [text(object(phone, 'phones').phoneNumber, 'phones.phoneNumber')])
      const channels = list(document.channels, 'channels').map((channel) => readChannel(object(channel, 'channels')))

      const outcome = putContact(contact)
      putEmails(id, emails, outcome === 'new')
      putPhones(id, phones, outcome === 'new')
      putChannels(id, channels, outcome === 'new')
      return outcome
    }
  }
}

/** Makes a collection that also collects the ids of its documents. */
export function collectIds (collection: Collection, ids: Set<string>): Collection {
  return {
    ...collection,
    prepare: (...args) => {
      const store = collection.prepare(...args)
      return (document) => {
        const outcome = store(document)
        ids.add(idOf(document))
        return outcome
      }
    }
  }
}

/** Disables the enabled contacts that an export lacks. Returns how many there are. */
export function disableMissing (database: Database.Database, exported: Set<string>, dryRun: boolean): number {
  const enabled = database.prepare<[], string>('SELECT id FROM omnichannel_contact WHERE enabled = 1').pluck().all()
  const missing = enabled.filter((id) => !exported.has(id))
  const disable = database.prepare('UPDATE omnichannel_contact SET enabled = 0, version = version + 1, updated_at = ? WHERE id = ?')
  const now = new Date().toISOString()
  if (!dryRun) database.transaction(() => { for (const id of missing) disable.run(now, id) }).immediate()
  return missing.length
}

function readContact (id: string, document: Document): unknown[] {
  const manager = textOrNull(document.contactManager, 'contactManager')
  const updatedAt = timeOrNull(document._updatedAt, '_updatedAt')
  const createdAt = timeOrNull(document.createdAt, 'createdAt') ?? updatedAt ?? new Date().toISOString()
  return [
    id,
    textOrNull(document.name, 'name') ?? '',
    manager === '' ? null : manager,
    JSON.stringify(object(plain(document.customFields), 'customFields')),
    JSON.stringify(list(document.conflictingFields, 'conflictingFields').map(readConflict)),
    flag(document.unknown, 'unknown', false),
    flag(document.preRegistration, 'preRegistration', false),
    ...readLastChat(document.lastChat),
    flag(document.enabled, 'enabled', true),
    createdAt,
    updatedAt ?? createdAt
  ]
}

function readConflict (conflict: unknown): object {
  const { field, value } = object(conflict, 'conflictingFields')
  const read = plain(value) ?? ''
  return { field: text(field, 'conflictingFields.field'), value: typeof read === 'string' ? read : JSON.stringify(read) }
}

function readChannel (channel: Document): unknown[] {
  const visitor = object(channel.visitor, 'channels.visitor')
  const source = object(visitor.source, 'channels.visitor.source')
  const details = object(plain(channel.details), 'channels.details')
  const type = plain(source.type) ?? details.type
  return [
    textOrNull(channel.name, 'channels.name') ?? '',
    text(visitor.visitorId, 'channels.visitor.visitorId'),
    SOURCE_TYPES.find((known) => known === type) ?? 'other',
    textOrNull(source.id, 'channels.visitor.source.id'),
    flag(channel.blocked, 'channels.blocked', false),
    flag(channel.verified, 'channels.verified', false),
    timeOrNull(channel.verifiedAt, 'channels.verifiedAt'),
    textOrNull(channel.field, 'channels.field'),
    textOrNull(channel.value, 'channels.value'),
    JSON.stringify(details),
    ...readLastChat(channel.lastChat)
  ]
}

/** Both or neither: the API does not show a chat without its time. */
function readLastChat (lastChat: unknown): Array<string | null> {
  const { _id, ts } = object(lastChat, 'lastChat')
  const id = textOrNull(_id, 'lastChat._id')
  const at = timeOrNull(ts, 'lastChat.ts')
  return id === null || at === null ? [null, null] : [id, at]
}

/** Returns a function that replaces a list of a contact. */
function prepareList (database: Database.Database, table: string, columns: string[]): (contactId: string, rows: unknown[][], isNew: boolean) => void {
  const remove = database.prepare(`DELETE FROM ${table} WHERE contact_id = ?`)
  const insert = database.prepare(
    `INSERT INTO ${table} (contact_id, position, ${columns.join(', ')}) VALUES (?, ?, ${columns.map(() => '?').join(', ')})`)
  return (contactId, rows, isNew) => {
    if (!isNew) remove.run(contactId)
    rows.forEach((row, position) => insert.run(contactId, position, row))
  }
}
