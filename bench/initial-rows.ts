// The rows that every database of the benchmark begins with, and a query that checks them afterwards. Both engines read this SQL.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import type pg from 'pg'
import omnichannelContacts, { hashToken } from '../src/index.js'
import { agentCount, caller } from './requests.js'

/** Creates the tables of the plugin, with its default permissions. */
export async function createTables (database: Database.Database | pg.Pool): Promise<void> {
  const app = fastify()
  await app.register(omnichannelContacts, { database })
  await app.close()
}

const users = [caller.id, ...Array.from({ length: agentCount }, (_, agent) => `agent-${agent}`)]

// Inserts contacts with their other rows, and the caller. It reads two tables, which each engine fills in its own way: `numbers` has the
// number of each contact as `n`, and in seven digits as `digits`. `items` has the numbers of a contact's rooms as `item`.
export const insertRowsSql = `
  INSERT INTO omnichannel_contact (id, name, contact_manager, custom_fields, last_chat_id, last_chat_at, created_at, updated_at)
    SELECT 'c' || digits, 'Contact ' || digits || ' 0', 'agent-' || n % ${agentCount},
      '{"plan":"gold","note":"Called 0 times, prefers mornings"}',
      'r' || digits || '-0', '2026-01-31T09:15:00.000Z', '2026-01-01T00:00:00.000Z', '2026-01-31T09:15:00.000Z' FROM numbers;
  INSERT INTO omnichannel_contact_email (contact_id, position, address)
    SELECT 'c' || digits, item, CASE item WHEN 0 THEN 'contact-' || digits || '-0@example.com' ELSE 'contact-' || digits || '@example.org' END
    FROM numbers CROSS JOIN (SELECT 0 AS item UNION ALL SELECT 1);
  INSERT INTO omnichannel_contact_phone (contact_id, position, phone_number)
    SELECT 'c' || digits, 0, '+49 30 ' || digits || ' 0' FROM numbers;
  INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type, details, last_chat_id, last_chat_at)
    SELECT 'c' || digits, 0, 'Live chat', 'v' || digits, 'widget', '{"type":"widget","label":"example.com"}',
      'r' || digits || '-0', '2026-01-31T09:15:00.000Z' FROM numbers;
  INSERT INTO omnichannel_room (id, contact_id, fname)
    SELECT 'r' || digits || '-' || item, 'c' || digits, 'Contact ' || digits || ' 0' FROM numbers CROSS JOIN items;
  INSERT INTO omnichannel_subscription (id, room_id, visitor_id, name, fname)
    SELECT 's' || digits || '-' || item, 'r' || digits || '-' || item, 'v' || digits,
      'Contact ' || digits || ' 0', 'Contact ' || digits || ' 0' FROM numbers CROSS JOIN items;
  INSERT INTO omnichannel_inquiry (id, room_id, visitor_id, name)
    SELECT 'i' || digits, 'r' || digits || '-0', 'v' || digits, 'Contact ' || digits || ' 0' FROM numbers;
  INSERT INTO omnichannel_custom_field (id, label, scope, visibility, required, regexp) VALUES
    ('plan', 'Plan', 'visitor', 'visible', '1', '^(gold|silver)$'), ('note', 'Note', 'visitor', 'visible', '0', ''),
    ('secret', 'Secret', 'visitor', 'hidden', '0', ''), ('topic', 'Topic', 'room', 'visible', '0', '');
  INSERT INTO omnichannel_user (id, username, name) VALUES ${users.map((id) => `('${id}', '${id}', '${id}')`).join()};
  INSERT INTO omnichannel_user_role (user_id, role) VALUES ${users.map((id) => `('${id}', 'livechat-agent')`).join()};
  INSERT INTO omnichannel_auth_token (hashed_token, user_id, expires_at) VALUES
    ('${hashToken(caller.token)}', '${caller.id}', '2999-01-01T00:00:00.000Z');
`

/** A query that counts rows of renamed contacts. */
const count = (table: string, condition: string): string => `
  (SELECT count(*) FROM omnichannel_contact AS contact CROSS JOIN omnichannel_${table} AS copy WHERE contact.version > 1 AND ${condition})`
const ofVisitor = "copy.visitor_id = 'v' || substr(contact.id, 2)"

/** Counts the updates, and the rows that do not have the name of their contact. */
export const countUpdates = `SELECT sum(version) - count(*) AS updates,
  ${count('room', 'copy.contact_id = contact.id AND copy.fname <> contact.name')} +
  ${count('inquiry', `${ofVisitor} AND copy.name <> contact.name`)} +
  ${count('subscription', `${ofVisitor} AND (copy.name <> contact.name OR copy.fname <> contact.name)`)} AS torn
  FROM omnichannel_contact`
