// Stores the documents of each collection. A document is read as a whole before anything of it is written.

import { createPatternCache } from '../../rules/patterns/index.js'
import { commit, type Connection } from '../../store/sqlite/connection.js'
import { SOURCE_TYPES } from '../../store/tables.js'
import type { CollectionName } from './collections.js'
import { readFlag, readId, readList, readObject, readObjects, readText, readTextOrNull, readTimeOrNull, toPlainValue, type Document } from './extended-json.js'

/** The result of storing a document. It is ignored if it has nothing to do with omnichannel contacts. */
type Outcome = 'new' | 'updated' | 'ignored'

/** Stores a document, or throws a BadLineError before it writes anything. `warn` is for a document that is stored but will not work. */
type StoreDocument = (database: Connection, document: Document, warn: (sentence: string) => void) => Outcome

type Row = Record<string, string | number | null>

const storeCustomField: StoreDocument = (database, document, warn) => {
  const id = readId(document)
  const regexp = readTextOrNull(document.regexp, 'regexp') ?? ''
  const outcome = upsert(database, 'omnichannel_custom_field', {
    id,
    label: readTextOrNull(document.label, 'label') ?? '',
    // Only fields with the scope 'visitor' apply to contacts. A field without a scope does not apply. A field without a visibility does.
    scope: readTextOrNull(document.scope, 'scope') ?? '',
    visibility: readTextOrNull(document.visibility, 'visibility') ?? 'visible',
    required: readFlag(document.required, 'required', false),
    regexp
  })
  const problem = findProblem(regexp)
  if (problem !== undefined) warn(`the pattern ${regexp} of the custom field ${id} fits no value: ${problem}`)
  return outcome
}

/** Why a pattern never matches, so that every update with a value for its field is refused. */
function findProblem (regexp: string): string | undefined {
  if (/^\/\^|\$\/[a-z]*$/.test(regexp)) return 'the slashes around it count as a part of it'
  let reason: string | undefined
  const matches = createPatternCache().createMatcher((_field, problem) => { reason = problem.replace(/^is /, 'it is ').replace(/^does not compile: /, '') })
  // This compiles the pattern, and reports a problem.
  matches({ id: '', label: '', required: 0, regexp }, '')
  return reason
}

const storePermission: StoreDocument = (database, document) => {
  const permission = readId(document)
  const roles = readRoles(document)
  const isNew = database.run('DELETE FROM omnichannel_role_permission WHERE permission = ?', [permission]) === 0
  for (const role of roles) insert(database, 'omnichannel_role_permission', { permission, role }, 'ON CONFLICT DO NOTHING')
  return isNew ? 'new' : 'updated'
}

function readRoles (document: Document): string[] {
  return readList(document.roles, 'roles').map((role) => readText(role, 'roles'))
}

const storeUser: StoreDocument = (database, document) => {
  const id = readId(document)
  const user = {
    id,
    username: readTextOrNull(document.username, 'username') ?? '',
    name: readTextOrNull(document.name, 'name') ?? '',
    active: readFlag(document.active, 'active', true)
  }
  const roles = readRoles(document)
  const tokens = readTokens(id, document)

  const outcome = upsert(database, 'omnichannel_user', user)
  database.run('DELETE FROM omnichannel_user_role WHERE user_id = ?', [id])
  for (const role of roles) insert(database, 'omnichannel_user_role', { user_id: id, role }, 'ON CONFLICT DO NOTHING')
  replaceTokens(database, id, tokens)
  return outcome
}

/** The personal access tokens, so that API clients go on working. Sessions of browsers are not imported. */
function readTokens (userId: string, user: Document) {
  const { loginTokens } = readObject(readObject(user.services, 'services').resume, 'services.resume')
  return readObjects(loginTokens, 'loginTokens')
    .filter((token) => token.type === 'personalAccessToken')
    .map((token) => ({
      hashed_token: readText(token.hashedToken, 'loginTokens.hashedToken'),
      user_id: userId,
      name: readTextOrNull(token.name, 'loginTokens.name') ?? '',
      // Older versions of Rocket.Chat store no time.
      created_at: readTimeOrNull(token.when ?? token.createdAt, 'loginTokens.when') ?? new Date().toISOString()
    }))
}

/** Replaces the tokens that were imported for a user before. The table omnichannel_imported_token lists them, so tokens made here stay. */
function replaceTokens (database: Connection, userId: string, tokens: ReturnType<typeof readTokens>): void {
  database.run(`
    CREATE TABLE IF NOT EXISTS omnichannel_imported_token (
      user_id      TEXT NOT NULL,
      hashed_token TEXT NOT NULL,
      PRIMARY KEY (user_id, hashed_token)
    ) STRICT, WITHOUT ROWID`)
  const hashes = JSON.stringify(tokens.map((token) => token.hashed_token))
  database.run(`
    DELETE FROM omnichannel_auth_token
    WHERE user_id = ?
      AND hashed_token IN (SELECT hashed_token FROM omnichannel_imported_token WHERE user_id = ?)
      AND hashed_token NOT IN (SELECT value FROM json_each(?))`, [userId, userId, hashes])
  database.run('DELETE FROM omnichannel_imported_token WHERE user_id = ?', [userId])
  for (const token of tokens) {
    upsert(database, 'omnichannel_auth_token', token)
    insert(database, 'omnichannel_imported_token', { user_id: userId, hashed_token: token.hashed_token }, 'ON CONFLICT DO NOTHING')
  }
}

const storeContact: StoreDocument = (database, document) => {
  const id = readId(document)
  const contact = readContact(id, document)
  const lists = {
    omnichannel_contact_email: readObjects(document.emails, 'emails').map(({ address }) => ({ address: readText(address, 'emails.address') })),
    omnichannel_contact_phone: readObjects(document.phones, 'phones').map(({ phoneNumber }) => ({ phone_number: readText(phoneNumber, 'phones.phoneNumber') })),
    omnichannel_contact_channel: readObjects(document.channels, 'channels').map(readChannel)
  }
  const outcome = upsert(database, 'omnichannel_contact', contact, ', version = version + 1')
  for (const [table, rows] of Object.entries(lists)) {
    if (outcome === 'updated') database.run(`DELETE FROM ${table} WHERE contact_id = ?`, [id])
    rows.forEach((row, position) => insert(database, table, { contact_id: id, position, ...row }))
  }
  return outcome
}

/** Disables the enabled contacts that an export lacks, and returns their number. If this fails, closing the database rolls it back. */
export function disableMissing (database: Connection, exported: Set<string>, dryRun: boolean): number {
  const enabled = database.column('SELECT id FROM omnichannel_contact WHERE enabled = 1') as string[]
  const missing = enabled.filter((id) => !exported.has(id))
  const now = new Date().toISOString()
  database.exec('BEGIN IMMEDIATE')
  for (const id of missing) database.run('UPDATE omnichannel_contact SET enabled = 0, version = version + 1, updated_at = ? WHERE id = ?', [now, id])
  if (dryRun) database.exec('ROLLBACK')
  else commit(database)
  return missing.length
}

function readContact (id: string, document: Document): Row {
  const manager = readTextOrNull(document.contactManager, 'contactManager')
  const updatedAt = readTimeOrNull(document._updatedAt, '_updatedAt')
  const createdAt = readTimeOrNull(document.createdAt, 'createdAt') ?? updatedAt ?? new Date().toISOString()
  return {
    id,
    name: readTextOrNull(document.name, 'name') ?? '',
    contact_manager: manager === '' ? null : manager,
    custom_fields: JSON.stringify(readObject(toPlainValue(document.customFields), 'customFields')),
    conflicting_fields: JSON.stringify(readObjects(document.conflictingFields, 'conflictingFields').map(readConflict)),
    unknown: readFlag(document.unknown, 'unknown', false),
    pre_registration: readFlag(document.preRegistration, 'preRegistration', false),
    ...readLastChat(document.lastChat),
    enabled: readFlag(document.enabled, 'enabled', true),
    created_at: createdAt,
    updated_at: updatedAt ?? createdAt
  }
}

function readConflict ({ field, value }: Document): object {
  const read = toPlainValue(value) ?? ''
  return { field: readText(field, 'conflictingFields.field'), value: typeof read === 'string' ? read : JSON.stringify(read) }
}

function readChannel (channel: Document): Row {
  const visitor = readObject(channel.visitor, 'channels.visitor')
  const source = readObject(visitor.source, 'channels.visitor.source')
  const details = readObject(toPlainValue(channel.details), 'channels.details')
  const type = toPlainValue(source.type) ?? details.type
  return {
    name: readTextOrNull(channel.name, 'channels.name') ?? '',
    visitor_id: readText(visitor.visitorId, 'channels.visitor.visitorId'),
    source_type: SOURCE_TYPES.find((known) => known === type) ?? 'other',
    source_id: readTextOrNull(source.id, 'channels.visitor.source.id'),
    blocked: readFlag(channel.blocked, 'channels.blocked', false),
    verified: readFlag(channel.verified, 'channels.verified', false),
    verified_at: readTimeOrNull(channel.verifiedAt, 'channels.verifiedAt'),
    field: readTextOrNull(channel.field, 'channels.field'),
    value: readTextOrNull(channel.value, 'channels.value'),
    details: JSON.stringify(details),
    ...readLastChat(channel.lastChat)
  }
}

/** Sets both columns or neither, because the API does not show a chat without its time. */
function readLastChat (lastChat: unknown): Row {
  const { _id, ts } = readObject(lastChat, 'lastChat')
  const id = readTextOrNull(_id, 'lastChat._id')
  const at = readTimeOrNull(ts, 'lastChat.ts')
  return id === null || at === null ? { last_chat_id: null, last_chat_at: null } : { last_chat_id: id, last_chat_at: at }
}

const storeRoom: StoreDocument = (database, document) => {
  const id = readId(document)
  const contactId = readTextOrNull(document.contactId, 'contactId')
  if (document.t !== 'l' || contactId === null) return 'ignored'
  return upsert(database, 'omnichannel_room', {
    id, contact_id: contactId, fname: readTextOrNull(document.fname, 'fname') ?? '', updated_at: readUpdatedAt(document)
  })
}

/** Makes the function for subscriptions or inquiries. Both belong to a visitor and have copies of the visitor's name. */
function storeVisitorsDocument (table: string, nameColumns: string[]): StoreDocument {
  return (database, document) => {
    const id = readId(document)
    const visitorId = readTextOrNull(readObject(document.v, 'v')._id, 'v._id')
    if (visitorId === null) return 'ignored'
    return upsert(database, table, {
      id,
      room_id: readTextOrNull(document.rid, 'rid') ?? '',
      visitor_id: visitorId,
      ...Object.fromEntries(nameColumns.map((name) => [name, readTextOrNull(document[name], name) ?? ''])),
      updated_at: readUpdatedAt(document)
    })
  }
}

function readUpdatedAt (document: Document): string {
  return readTimeOrNull(document._updatedAt ?? document.ts, '_updatedAt') ?? new Date().toISOString()
}

export const storeDocument: Record<CollectionName, StoreDocument> = {
  'custom-fields': storeCustomField,
  permissions: storePermission,
  users: storeUser,
  contacts: storeContact,
  rooms: storeRoom,
  subscriptions: storeVisitorsDocument('omnichannel_subscription', ['name', 'fname']),
  inquiries: storeVisitorsDocument('omnichannel_inquiry', ['name'])
}

/** Returns how many rows were inserted. */
function insert (database: Connection, table: string, row: Row, onConflict = ''): number {
  const columns = Object.keys(row)
  const sql = `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ${onConflict}`
  return database.run(sql, Object.values(row))
}

/** Inserts a row, or updates the row with the same first column. ON CONFLICT DO UPDATE would not tell whether the row is new. */
function upsert (database: Connection, table: string, row: Row, moreAssignments = ''): 'new' | 'updated' {
  const [key = '', ...others] = Object.keys(row)
  if (insert(database, table, row, `ON CONFLICT (${key}) DO NOTHING`) === 1) return 'new'
  const [id, ...values] = Object.values(row)
  database.run(`UPDATE ${table} SET ${others.map((column) => `${column} = ?`).join(', ')}${moreAssignments} WHERE ${key} = ?`, [...values, id])
  return 'updated'
}

/** The documents that are not ignored. The output names them if a file has none. */
export const importedDocuments: Partial<Record<CollectionName, string>> = {
  rooms: "omnichannel rooms (t: 'l' with a contactId)",
  subscriptions: "subscriptions of omnichannel rooms (with a visitor's v._id)",
  inquiries: "inquiries of omnichannel rooms (with a visitor's v._id)"
}
