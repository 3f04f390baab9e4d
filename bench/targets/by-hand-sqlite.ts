// What a careful engineer writes with better-sqlite3: prepared statements, rows as arrays, and one immediate transaction for each request.
// A list is written only if it has changed.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { Contact, UpdateContactBody } from '../../src/index.js'
import { applyUpdate, isSame, toContact, type ChannelRow, type ContactRow, type Stored } from './update-rules.js'
import { addRoute, Refusal } from './route.js'

type Cells = Array<string | number | null>

export function addByHandSqlite (app: FastifyInstance, database: Database.Database): void {
  const findCaller = database.prepare<[string, string, string], number>(`
    SELECT EXISTS (
      SELECT 1 FROM omnichannel_user_role AS held JOIN omnichannel_role_permission AS grants ON grants.role = held.role
      WHERE held.user_id = user.id AND grants.permission = 'update-livechat-contact')
    FROM omnichannel_auth_token AS token JOIN omnichannel_user AS user ON user.id = token.user_id
    WHERE token.hashed_token = ? AND token.user_id = ? AND user.active = 1 AND (token.expires_at IS NULL OR token.expires_at > ?)`).pluck()
  const findContact = database.prepare<[string], Cells>(`
    SELECT id, name, contact_manager, custom_fields, conflicting_fields, unknown, pre_registration, last_chat_id, last_chat_at,
      created_at, updated_at
    FROM omnichannel_contact WHERE id = ? AND enabled = 1`).raw()
  const listEmails = database.prepare<[string], string>(
    'SELECT address FROM omnichannel_contact_email WHERE contact_id = ? ORDER BY position').pluck()
  const listPhones = database.prepare<[string], string>(
    'SELECT phone_number FROM omnichannel_contact_phone WHERE contact_id = ? ORDER BY position').pluck()
  const listChannels = database.prepare<[string], Cells>(`
    SELECT name, visitor_id, source_type, source_id, blocked, verified, verified_at, field, value, details, last_chat_id, last_chat_at
    FROM omnichannel_contact_channel WHERE contact_id = ? ORDER BY position`).raw()
  const findAgent = database.prepare<[string]>(`
    SELECT 1 FROM omnichannel_user AS user JOIN omnichannel_user_role AS held ON held.user_id = user.id
    WHERE user.id = ? AND held.role = 'livechat-agent'`).pluck()
  const listCustomFields = database.prepare<[], [string, string, number, string]>(`
    SELECT id, label, required, regexp FROM omnichannel_custom_field
    WHERE scope = 'visitor' AND visibility <> 'hidden' ORDER BY rowid`).raw()
  const updateContact = database.prepare(`
    UPDATE omnichannel_contact SET name = ?, contact_manager = ?, custom_fields = ?, conflicting_fields = ?, unknown = 0,
      version = version + 1, updated_at = ? WHERE id = ?`)
  const deleteEmails = database.prepare('DELETE FROM omnichannel_contact_email WHERE contact_id = ?')
  const insertEmail = database.prepare('INSERT INTO omnichannel_contact_email (contact_id, position, address) VALUES (?, ?, ?)')
  const deletePhones = database.prepare('DELETE FROM omnichannel_contact_phone WHERE contact_id = ?')
  const insertPhone = database.prepare('INSERT INTO omnichannel_contact_phone (contact_id, position, phone_number) VALUES (?, ?, ?)')
  const renameRooms = database.prepare('UPDATE omnichannel_room SET fname = ?, updated_at = ? WHERE contact_id = ?')
  const renameSubscriptions = database.prepare('UPDATE omnichannel_subscription SET name = ?, fname = ?, updated_at = ? WHERE visitor_id = ?')
  const renameInquiries = database.prepare('UPDATE omnichannel_inquiry SET name = ?, updated_at = ? WHERE visitor_id = ?')
  const addResolvedConflicts = database.prepare(`
    INSERT INTO omnichannel_statistic (name, value) VALUES ('Resolved_Conflicts_Count', ?)
    ON CONFLICT (name) DO UPDATE SET value = value + excluded.value`)

  function read ({ contactId, contactManager, customFields }: UpdateContactBody): Stored {
    const cells = findContact.get(contactId)
    if (cells === undefined) throw new Refusal(400, 'error-contact-not-found')
    return {
      row: toContactRow(cells),
      emails: listEmails.all(contactId),
      phones: listPhones.all(contactId),
      channels: listChannels.all(contactId).map(toChannelRow),
      isAgent: contactManager == null || contactManager === '' ? undefined : findAgent.get(contactManager) !== undefined,
      customFields: customFields == null
        ? undefined
        : listCustomFields.all().map(([id, label, required, regexp]) => ({ id, label, required: required === 1, regexp }))
    }
  }

  const update = database.transaction((body: UpdateContactBody): Contact => {
    const stored = read(body)
    const changed = applyUpdate(body, stored)
    if (changed === undefined) return toContact(stored)
    const { row, emails, phones, channels } = changed
    const { id, name, updated_at: now } = row
    updateContact.run(name, row.contact_manager, JSON.stringify(row.custom_fields), JSON.stringify(row.conflicting_fields), now, id)
    if (!isSame(emails, stored.emails)) {
      deleteEmails.run(id)
      emails.forEach((address, position) => insertEmail.run(id, position, address))
    }
    if (!isSame(phones, stored.phones)) {
      deletePhones.run(id)
      phones.forEach((phone, position) => insertPhone.run(id, position, phone))
    }
    const conflicts = stored.row.conflicting_fields.length
    if (body.wipeConflicts === true && conflicts > 0) addResolvedConflicts.run(conflicts)
    if (name !== stored.row.name) {
      renameRooms.run(name, now, id)
      for (const visitorId of new Set(channels.map((channel) => channel.visitor_id))) {
        renameSubscriptions.run(name, name, now, visitorId)
        renameInquiries.run(name, now, visitorId)
      }
    }
    return toContact(changed)
  })

  addRoute(app, {
    findCaller: (userId, hashedToken) => {
      const hasPermission = findCaller.get(hashedToken, userId, new Date().toISOString())
      return hasPermission === undefined ? undefined : { hasPermission: hasPermission === 1 }
    },
    update: (body) => update.immediate(body)
  })
}

function toContactRow (cells: Cells): ContactRow {
  const [id, name, manager, customFields, conflicts, unknown, preRegistration, lastChatId, lastChatAt, createdAt, updatedAt] = cells
  return {
    id, name, contact_manager: manager, custom_fields: JSON.parse(customFields as string), conflicting_fields: JSON.parse(conflicts as string),
    unknown: unknown === 1, pre_registration: preRegistration === 1, last_chat_id: lastChatId, last_chat_at: lastChatAt,
    created_at: createdAt, updated_at: updatedAt
  } as ContactRow
}

function toChannelRow (cells: Cells): ChannelRow {
  const [name, visitorId, type, sourceId, blocked, verified, verifiedAt, field, value, details, lastChatId, lastChatAt] = cells
  return {
    name, visitor_id: visitorId, source_type: type, source_id: sourceId, blocked: blocked === 1, verified: verified === 1,
    verified_at: verifiedAt, field, value, details: JSON.parse(details as string), last_chat_id: lastChatId, last_chat_at: lastChatAt
  } as ChannelRow
}
