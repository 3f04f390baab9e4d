// What a careful engineer writes with better-sqlite3: statements prepared once, rows as arrays, no statement that is not
// needed, and one immediate transaction a request.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { CustomField } from '../../src/rules/custom-fields.js'
import type { Contact, UpdateContactBody } from '../../src/rules/wire-schemas.js'
import type { ContactChannelTable, ContactTable } from '../../src/store/tables.js'
import type { Dist } from './dist.js'
import { isSame } from './is-same.js'
import { addRoute } from './route.js'

type Cells = Array<string | number | null>

const contactColumns = [
  'id', 'name', 'contact_manager', 'custom_fields', 'conflicting_fields', 'unknown', 'pre_registration', 'last_chat_id', 'last_chat_at',
  'version', 'created_at', 'updated_at'
]
const channelColumns = [
  'name', 'visitor_id', 'source_type', 'source_id', 'blocked', 'verified', 'verified_at', 'field', 'value', 'details',
  'last_chat_id', 'last_chat_at'
]

export function addByHand (app: FastifyInstance, dist: Dist, database: Database.Database): void {
  const { ContactNotFoundError, ContactManagerNotFoundError, InvalidOperationError } = dist.index
  const beginPatterns = dist.patterns.createPatterns()

  const findUser = database.prepare<[string, string, string], [string, number]>(`
    SELECT user.id, EXISTS (
      SELECT 1 FROM omnichannel_user_role AS held JOIN omnichannel_role_permission AS granted ON granted.role = held.role
      WHERE held.user_id = user.id AND granted.permission = 'update-livechat-contact')
    FROM omnichannel_auth_token AS token JOIN omnichannel_user AS user ON user.id = token.user_id
    WHERE token.hashed_token = ? AND token.user_id = ? AND user.active = 1 AND (token.expires_at IS NULL OR token.expires_at > ?)`).raw()
  const findContact = database.prepare<[string], Cells>(
    `SELECT ${contactColumns.join()} FROM omnichannel_contact WHERE id = ? AND enabled = 1`).raw()
  const listEmails = database.prepare<[string], string>(
    'SELECT address FROM omnichannel_contact_email WHERE contact_id = ? ORDER BY position').pluck()
  const listPhones = database.prepare<[string], string>(
    'SELECT phone_number FROM omnichannel_contact_phone WHERE contact_id = ? ORDER BY position').pluck()
  const listChannels = database.prepare<[string], Cells>(
    `SELECT ${channelColumns.join()} FROM omnichannel_contact_channel WHERE contact_id = ? ORDER BY position`).raw()
  const findAgent = database.prepare<[string]>(`
    SELECT 1 FROM omnichannel_user AS user JOIN omnichannel_user_role AS held ON held.user_id = user.id
    WHERE user.id = ? AND held.role = 'livechat-agent'`).pluck()
  const listCustomFields = database.prepare<[], [string, string, number, string]>(`
    SELECT id, label, required, regexp FROM omnichannel_custom_field
    WHERE scope = 'visitor' AND visibility <> 'hidden' ORDER BY rowid`).raw()
  const updateRow = database.prepare(`
    UPDATE omnichannel_contact SET name = ?, contact_manager = ?, custom_fields = ?, conflicting_fields = ?, unknown = 0,
      version = version + 1, updated_at = ? WHERE id = ?`)
  const deleteEmails = database.prepare('DELETE FROM omnichannel_contact_email WHERE contact_id = ?')
  const insertEmail = database.prepare('INSERT INTO omnichannel_contact_email (contact_id, position, address) VALUES (?, ?, ?)')
  const deletePhones = database.prepare('DELETE FROM omnichannel_contact_phone WHERE contact_id = ?')
  const insertPhone = database.prepare('INSERT INTO omnichannel_contact_phone (contact_id, position, phone_number) VALUES (?, ?, ?)')
  const renameRooms = database.prepare('UPDATE omnichannel_room SET fname = ?, updated_at = ? WHERE contact_id = ?')
  const renameSubscriptions = database.prepare('UPDATE omnichannel_subscription SET name = ?, fname = ?, updated_at = ? WHERE visitor_id = ?')
  const renameInquiries = database.prepare('UPDATE omnichannel_inquiry SET name = ?, updated_at = ? WHERE visitor_id = ?')
  const countConflicts = database.prepare(`
    INSERT INTO omnichannel_statistic (name, value) VALUES ('Resolved_Conflicts_Count', ?)
    ON CONFLICT (name) DO UPDATE SET value = value + excluded.value`)

  const update = database.transaction((body: UpdateContactBody): Contact => {
    const { contactId } = body
    const cells = findContact.get(contactId)
    if (cells === undefined) throw new ContactNotFoundError()
    const row = rowOf(contactColumns, cells) as ContactTable
    const channels = listChannels.all(contactId).map((cells) => rowOf(channelColumns, cells) as ContactChannelTable)
    const storedEmails = listEmails.all(contactId)
    const storedPhones = listPhones.all(contactId)
    const contactOf = (row: ContactTable, emails: string[], phones: string[]): Contact =>
      dist.contact.toContact({ row, emails, phones, channels })

    const { name, emails, phones, customFields, contactManager, wipeConflicts } = body
    if (contactManager != null && contactManager !== '' && findAgent.get(contactManager) === undefined) throw new ContactManagerNotFoundError()
    let merged = row.custom_fields
    if (customFields != null) {
      const allowed = listCustomFields.all().map(([id, label, required, regexp]): CustomField => ({ id, label, required, regexp }))
      merged = dist.customFields.mergeCustomFields(allowed, row.custom_fields, customFields, beginPatterns(() => undefined))
    }
    if (name === '' && row.name !== '') throw new InvalidOperationError()
    const changes = [name, emails, phones, customFields, contactManager].some((part) => part != null) || wipeConflicts === true
    if (!changes) return contactOf(row, storedEmails, storedPhones)

    const now = new Date().toISOString()
    const updated: ContactTable = {
      ...row,
      name: name ?? row.name,
      contact_manager: contactManager == null ? row.contact_manager : contactManager === '' ? null : contactManager,
      custom_fields: merged,
      conflicting_fields: wipeConflicts === true ? '[]' : row.conflicting_fields,
      unknown: 0,
      updated_at: now
    }
    updateRow.run(updated.name, updated.contact_manager, updated.custom_fields, updated.conflicting_fields, now, contactId)
    if (emails != null && !isSame(emails, storedEmails)) {
      deleteEmails.run(contactId)
      emails.forEach((address, position) => insertEmail.run(contactId, position, address))
    }
    if (phones != null && !isSame(phones, storedPhones)) {
      deletePhones.run(contactId)
      phones.forEach((phone, position) => insertPhone.run(contactId, position, phone))
    }
    if (wipeConflicts === true) {
      const { length } = JSON.parse(row.conflicting_fields) as unknown[]
      if (length > 0) countConflicts.run(length)
    }
    if (updated.name !== row.name) {
      renameRooms.run(updated.name, now, contactId)
      for (const visitorId of new Set(channels.map((channel) => channel.visitor_id))) {
        renameSubscriptions.run(updated.name, updated.name, now, visitorId)
        renameInquiries.run(updated.name, now, visitorId)
      }
    }
    return contactOf(updated, emails ?? storedEmails, phones ?? storedPhones)
  })

  addRoute(app, dist, {
    findUser: (userId, hashedToken, now) => {
      const found = findUser.get(hashedToken, userId, now)
      return found && { id: found[0], granted: found[1] === 1 }
    },
    hasPermission: ({ granted }) => granted === true,
    update: (body) => update.immediate(body)
  })
}

function rowOf (columns: string[], cells: Cells): object {
  const row: Record<string, unknown> = {}
  for (let index = 0; index < columns.length; index++) row[columns[index] as string] = cells[index]
  return row
}
