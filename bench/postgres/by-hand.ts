// What a careful engineer writes with node-postgres: named statements, one transaction a request, each query awaited.

import type { FastifyInstance } from 'fastify'
import type { Pool, PoolClient, QueryConfig } from 'pg'
import type { Contact, UpdateContactBody } from '../../src/rules/wire-schemas.js'
import type { Dist } from '../contestants/dist.js'
import { isSame } from '../contestants/is-same.js'
import { change, toContact, type ChannelRow, type ContactRow, type CustomField, type Stored } from './contact.js'
import { addRoute } from './route.js'

function named (name: string, text: string): (...values: unknown[]) => QueryConfig {
  return (...values) => ({ name, text, values })
}

const findCaller = named('find_caller', `
  SELECT EXISTS (
    SELECT FROM omnichannel_user_role AS held JOIN omnichannel_role_permission AS granted USING (role)
    WHERE held.user_id = token.user_id AND granted.permission = 'update-livechat-contact') AS granted
  FROM omnichannel_auth_token AS token JOIN omnichannel_user AS u ON u.id = token.user_id
  WHERE token.hashed_token = $1 AND token.user_id = $2 AND u.active AND (token.expires_at IS NULL OR token.expires_at > now())`)
const findContact = named('find_contact', `
  SELECT id, name, contact_manager, custom_fields, conflicting_fields, "unknown", pre_registration, last_chat_id, last_chat_at, created_at, updated_at
  FROM omnichannel_contact WHERE id = $1 AND enabled FOR UPDATE`)
const listEmails = named('list_emails', 'SELECT address FROM omnichannel_contact_email WHERE contact_id = $1 ORDER BY position')
const listPhones = named('list_phones', 'SELECT phone_number FROM omnichannel_contact_phone WHERE contact_id = $1 ORDER BY position')
const listChannels = named('list_channels', `
  SELECT name, visitor_id, source_type, source_id, blocked, verified, verified_at, field, value, details, last_chat_id, last_chat_at
  FROM omnichannel_contact_channel WHERE contact_id = $1 ORDER BY position`)
const findAgent = named('find_agent', `
  SELECT u.id FROM omnichannel_user AS u JOIN omnichannel_user_role AS held ON held.user_id = u.id
  WHERE u.id = $1 AND held.role = 'livechat-agent'`)
const listCustomFields = named('list_custom_fields', `
  SELECT id, label, required, regexp FROM omnichannel_custom_field
  WHERE scope = 'visitor' AND visibility <> 'hidden' ORDER BY position`)
const updateContact = named('update_contact', `
  UPDATE omnichannel_contact SET name = $2, contact_manager = $3, custom_fields = $4, conflicting_fields = $5, "unknown" = false,
    version = version + 1, updated_at = $6 WHERE id = $1`)
const deleteEmails = named('delete_emails', 'DELETE FROM omnichannel_contact_email WHERE contact_id = $1')
const insertEmails = named('insert_emails', `
  INSERT INTO omnichannel_contact_email (contact_id, position, address)
  SELECT $1, ordinality - 1, address FROM unnest($2::text[]) WITH ORDINALITY AS list (address, ordinality)`)
const deletePhones = named('delete_phones', 'DELETE FROM omnichannel_contact_phone WHERE contact_id = $1')
const insertPhones = named('insert_phones', `
  INSERT INTO omnichannel_contact_phone (contact_id, position, phone_number)
  SELECT $1, ordinality - 1, phone FROM unnest($2::text[]) WITH ORDINALITY AS list (phone, ordinality)`)
const renameRooms = named('rename_rooms', 'UPDATE omnichannel_room SET fname = $2, updated_at = $3 WHERE contact_id = $1')
const renameSubscriptions = named('rename_subscriptions',
  'UPDATE omnichannel_subscription SET name = $2, fname = $2, updated_at = $3 WHERE visitor_id = ANY($1)')
const renameInquiries = named('rename_inquiries', 'UPDATE omnichannel_inquiry SET name = $2, updated_at = $3 WHERE visitor_id = ANY($1)')
const countConflicts = named('count_conflicts', `
  INSERT INTO omnichannel_statistic AS statistic (name, value) VALUES ('Resolved_Conflicts_Count', $1)
  ON CONFLICT (name) DO UPDATE SET value = statistic.value + excluded.value`)

export function addByHand (app: FastifyInstance, dist: Dist, pool: Pool): void {
  addRoute(app, dist, {
    findCaller: async (userId, hashedToken) => (await pool.query<{ granted: boolean }>(findCaller(hashedToken, userId))).rows[0],
    update: async (body) => {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const contact = await update(client, dist, body)
        await client.query('COMMIT')
        return contact
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      } finally {
        client.release()
      }
    }
  })
}

async function update (client: PoolClient, dist: Dist, body: UpdateContactBody): Promise<Contact> {
  const stored = await read(client, dist, body)
  const changed = change(dist, body, stored)
  if (changed === undefined) return toContact(stored)

  const { row, emails, phones, channels } = changed
  await client.query(updateContact(
    row.id, row.name, row.contact_manager, row.custom_fields, JSON.stringify(row.conflicting_fields), row.updated_at))
  if (!isSame(emails, stored.emails)) {
    await client.query(deleteEmails(row.id))
    if (emails.length > 0) await client.query(insertEmails(row.id, emails))
  }
  if (!isSame(phones, stored.phones)) {
    await client.query(deletePhones(row.id))
    if (phones.length > 0) await client.query(insertPhones(row.id, phones))
  }
  if (row.name !== stored.row.name) {
    await client.query(renameRooms(row.id, row.name, row.updated_at))
    const visitors = channels.map((channel) => channel.visitor_id)
    if (visitors.length > 0) {
      await client.query(renameSubscriptions(visitors, row.name, row.updated_at))
      await client.query(renameInquiries(visitors, row.name, row.updated_at))
    }
  }
  const { length } = stored.row.conflicting_fields
  if (body.wipeConflicts === true && length > 0) await client.query(countConflicts(length))
  return toContact(changed)
}

async function read (client: PoolClient, { index }: Dist, { contactId, contactManager, customFields }: UpdateContactBody): Promise<Stored> {
  const [row] = (await client.query<ContactRow>(findContact(contactId))).rows
  if (row === undefined) throw new index.ContactNotFoundError()
  const { rows: emails } = await client.query<{ address: string }>(listEmails(contactId))
  const { rows: phones } = await client.query<{ phone_number: string }>(listPhones(contactId))
  const { rows: channels } = await client.query<ChannelRow>(listChannels(contactId))
  return {
    row,
    emails: emails.map((email) => email.address),
    phones: phones.map((phone) => phone.phone_number),
    channels,
    isAgent: contactManager == null || contactManager === '' ? undefined : (await client.query(findAgent(contactManager))).rows.length > 0,
    customFields: customFields == null ? undefined : (await client.query<CustomField>(listCustomFields())).rows
  }
}
