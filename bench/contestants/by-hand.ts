// What a careful engineer writes with better-sqlite3: statements prepared once, one immediate transaction a request.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { CustomField } from '../../src/rules/custom-fields.js'
import type { Contact, UpdateContactBody } from '../../src/rules/schemas.js'
import type { ContactChannelTable, ContactTable } from '../../src/store/tables.js'
import type { Dist } from './dist.js'
import { addRoute } from './route.js'

export function addByHand (app: FastifyInstance, dist: Dist, database: Database.Database): void {
  const { ContactNotFoundError, ContactManagerNotFoundError, InvalidOperationError } = dist.index
  const beginPatterns = dist.patterns.createPatterns()

  const findUser = database.prepare<[string, string, string], { id: string }>(`
    SELECT user.id FROM omnichannel_auth_token AS token JOIN omnichannel_user AS user ON user.id = token.user_id
    WHERE token.hashed_token = ? AND token.user_id = ? AND user.active = 1 AND (token.expires_at IS NULL OR token.expires_at > ?)`)
  const findPermission = database.prepare<[string]>(`
    SELECT 1 FROM omnichannel_user_role AS held JOIN omnichannel_role_permission AS granted ON granted.role = held.role
    WHERE held.user_id = ? AND granted.permission = 'update-livechat-contact' LIMIT 1`)
  const findContact = database.prepare<[string], ContactTable>('SELECT * FROM omnichannel_contact WHERE id = ? AND enabled = 1')
  const listEmails = database.prepare<[string], string>(
    'SELECT address FROM omnichannel_contact_email WHERE contact_id = ? ORDER BY position').pluck()
  const listPhones = database.prepare<[string], string>(
    'SELECT phone_number FROM omnichannel_contact_phone WHERE contact_id = ? ORDER BY position').pluck()
  const listChannels = database.prepare<[string], ContactChannelTable>(
    'SELECT * FROM omnichannel_contact_channel WHERE contact_id = ? ORDER BY position')
  const findAgent = database.prepare<[string]>(`
    SELECT 1 FROM omnichannel_user AS user JOIN omnichannel_user_role AS held ON held.user_id = user.id
    WHERE user.id = ? AND held.role = 'livechat-agent'`)
  const listCustomFields = database.prepare<[], CustomField>(`
    SELECT id, label, required, regexp FROM omnichannel_custom_field
    WHERE scope = 'visitor' AND visibility <> 'hidden' ORDER BY rowid`)
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
    const row = findContact.get(contactId)
    if (row === undefined) throw new ContactNotFoundError()
    const channels = listChannels.all(contactId)
    const storedEmails = listEmails.all(contactId)
    const storedPhones = listPhones.all(contactId)
    const contactOf = (row: ContactTable, emails: string[], phones: string[]): Contact =>
      dist.contact.toContact({ row, emails, phones, channels })

    const { name, emails, phones, customFields, contactManager, wipeConflicts } = body
    if (contactManager != null && contactManager !== '' && findAgent.get(contactManager) === undefined) throw new ContactManagerNotFoundError()
    let merged = row.custom_fields
    if (customFields != null) {
      const fits = beginPatterns(() => undefined)
      merged = dist.customFields.mergeCustomFields(listCustomFields.all(), row.custom_fields, customFields, fits)
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
    if (emails != null) {
      deleteEmails.run(contactId)
      emails.forEach((address, position) => insertEmail.run(contactId, position, address))
    }
    if (phones != null) {
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
    findUser: (userId, hashedToken, now) => findUser.get(hashedToken, userId, now),
    hasPermission: (userId) => findPermission.get(userId) !== undefined,
    update: (body) => update.immediate(body)
  })
}
