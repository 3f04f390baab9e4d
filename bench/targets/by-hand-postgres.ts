// What a careful engineer writes with node-postgres: named statements, one transaction for each request, lists written only if changed.

import type { FastifyInstance } from 'fastify'
import type { Pool, PoolClient, QueryConfig, QueryResult } from 'pg'
import type { Contact, UpdateContactBody } from '../../src/index.js'
import { applyUpdate, isSame, toContact, type ChannelRow, type ContactRow, type Stored } from './update-rules.js'
import { addRoute, Refusal } from './route.js'

function named (name: string, text: string): (...values: unknown[]) => QueryConfig {
  return (...values) => ({ name, text, values })
}

const findCaller = named('find_caller', `
  SELECT EXISTS (
    SELECT FROM omnichannel_user_role AS held JOIN omnichannel_role_permission AS grants USING (role)
    WHERE held.user_id = token.user_id AND grants.permission = 'update-livechat-contact') AS "hasPermission"
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
const addResolvedConflicts = named('add_resolved_conflicts', `
  INSERT INTO omnichannel_statistic AS statistic (name, value) VALUES ('Resolved_Conflicts_Count', $1)
  ON CONFLICT (name) DO UPDATE SET value = statistic.value + excluded.value`)

export function addByHandPostgres (app: FastifyInstance, pool: Pool, isPipelined: boolean): void {
  addRoute(app, {
    findCaller: async (userId, hashedToken) => (await pool.query<{ hasPermission: boolean }>(findCaller(hashedToken, userId))).rows[0],
    update: async (body) => {
      const client = await pool.connect()
      try {
        const contact = await update((queries) => send(client, isPipelined, queries), body)
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

type Send = (queries: QueryConfig[]) => Promise<QueryResult[]>

async function send (client: PoolClient, isPipelined: boolean, queries: QueryConfig[]): Promise<QueryResult[]> {
  if (isPipelined) return await Promise.all(queries.map(async (query) => await client.query(query)))
  const results: QueryResult[] = []
  for (const query of queries) results.push(await client.query(query))
  return results
}

async function update (send: Send, body: UpdateContactBody): Promise<Contact> {
  const stored = await read(send, body)
  const changed = applyUpdate(body, stored)
  if (changed === undefined) return toContact(stored)

  const { row, emails, phones, channels } = changed
  const writes = [updateContact(
    row.id, row.name, row.contact_manager, row.custom_fields, JSON.stringify(row.conflicting_fields), row.updated_at)]
  if (!isSame(emails, stored.emails)) {
    writes.push(deleteEmails(row.id))
    if (emails.length > 0) writes.push(insertEmails(row.id, emails))
  }
  if (!isSame(phones, stored.phones)) {
    writes.push(deletePhones(row.id))
    if (phones.length > 0) writes.push(insertPhones(row.id, phones))
  }
  if (row.name !== stored.row.name) {
    const visitors = channels.map((channel) => channel.visitor_id)
    writes.push(renameRooms(row.id, row.name, row.updated_at))
    if (visitors.length > 0) writes.push(renameSubscriptions(visitors, row.name, row.updated_at), renameInquiries(visitors, row.name, row.updated_at))
  }
  const conflicts = stored.row.conflicting_fields.length
  if (body.wipeConflicts === true && conflicts > 0) writes.push(addResolvedConflicts(conflicts))
  await send(writes)
  return toContact(changed)
}

/** Locks the contact before it reads the lists. */
async function read (send: Send, { contactId, contactManager, customFields }: UpdateContactBody): Promise<Stored> {
  const [, found] = await send([{ text: 'BEGIN' }, findContact(contactId)])
  const row = found!.rows[0] as WithDates<ContactRow> | undefined
  if (row === undefined) throw new Refusal(400, 'error-contact-not-found')
  const isManagerSent = contactManager != null && contactManager !== ''
  const [emails, phones, channels, ...rest] = await send([
    listEmails(contactId), listPhones(contactId), listChannels(contactId),
    ...isManagerSent ? [findAgent(contactManager)] : [],
    ...customFields == null ? [] : [listCustomFields()]
  ]) as [QueryResult<{ address: string }>, QueryResult<{ phone_number: string }>, QueryResult<WithDates<ChannelRow>>, ...QueryResult[]]
  const agent = isManagerSent ? rest.shift() : undefined
  return {
    row: {
      ...row,
      last_chat_at: toIso(row.last_chat_at),
      created_at: row.created_at.toISOString(),
      updated_at: row.updated_at.toISOString()
    },
    emails: emails.rows.map((email) => email.address),
    phones: phones.rows.map((phone) => phone.phone_number),
    channels: channels.rows.map((channel) => ({
      ...channel, verified_at: toIso(channel.verified_at), last_chat_at: toIso(channel.last_chat_at)
    })),
    isAgent: agent && agent.rows.length > 0,
    customFields: rest[0]?.rows
  }
}

/** A row as node-postgres reads it. */
type WithDates<Row> = { [Column in keyof Row]: Column extends `${string}_at` ? Date | Exclude<Row[Column], string> : Row[Column] }

function toIso (date: Date | null): string | null {
  return date === null ? null : date.toISOString()
}
