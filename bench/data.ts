// What every contestant's file holds, and what a contact looks like after it was saved some times.

import Database from 'better-sqlite3'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync } from 'node:fs'

export const caller = { id: 'caller', token: 'token-of-caller' }
export const agents = 10
export const roomsOfContact = 3

/** Seven digits, so that all requests have the same length. */
export const digits = (contact: number): string => String(contact).padStart(7, '0')

/** The values of a contact's form; a revision counts the changes of each. */
export const valueOf = {
  name: (contact: number, revision: number): string => `Contact ${digits(contact)} ${revision}`,
  email: (contact: number, revision: number): string => `contact-${digits(contact)}-${revision}@example.com`,
  phone: (contact: number, revision: number): string => `+49 30 ${digits(contact)} ${revision}`,
  note: (revision: number): string => `Called ${revision} times, prefers mornings`,
  manager: (contact: number, revision: number): string => `agent-${(contact + revision) % agents}`
}

const hashedToken = createHash('sha256').update(caller.token).digest('base64')
const users = [caller.id, ...Array.from({ length: agents }, (_, agent) => `agent-${agent}`)]

/** The same in SQL that both engines read: the revision 0 of each contact of `numbers` (n, digits), and who may call. */
export const rows = `
  INSERT INTO omnichannel_contact (id, name, contact_manager, custom_fields, last_chat_id, last_chat_at, created_at, updated_at)
    SELECT 'c' || digits, 'Contact ' || digits || ' 0', 'agent-' || n % ${agents},
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
  INSERT INTO omnichannel_role_permission (role, permission) VALUES
    ${['admin', 'livechat-manager', 'livechat-monitor', 'livechat-agent'].map((role) => `('${role}', 'update-livechat-contact')`).join()};
  INSERT INTO omnichannel_auth_token (hashed_token, user_id, expires_at) VALUES
    ('${hashedToken}', '${caller.id}', '2999-01-01T00:00:00.000Z');
`

/** Builds a file of `contacts` contacts, numbered from 0, with all that hangs on them, unless it is there already. */
export function buildFile (file: string, contacts: number): void {
  if (existsSync(file)) return
  const database = new Database(file)
  database.pragma('journal_mode = OFF')
  database.pragma('synchronous = OFF')
  database.pragma('foreign_keys = OFF')
  database.pragma('ignore_check_constraints = ON')
  database.pragma('cache_size = -500000')
  database.exec(readFileSync(new URL('../schema.sql', import.meta.url), 'utf8'))
  database.exec(`
    BEGIN;
    CREATE TEMP VIEW items AS SELECT value AS item FROM json_each('${JSON.stringify([...Array(roomsOfContact).keys()])}');
    CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY, digits TEXT NOT NULL);
    INSERT INTO numbers WITH RECURSIVE next (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM next WHERE n + 1 < ${contacts})
      SELECT n, printf('%07d', n) FROM next;
    ${rows}
    INSERT INTO omnichannel_migration (id) VALUES (1);
    COMMIT`)
  database.pragma('journal_mode = WAL')
  database.close()
  flush(file)
}

/** So that nobody is measured while the disk still writes what was made before. */
export function flush (file: string): void {
  const descriptor = openSync(file, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

/** The updates that a file has seen, after a look at whether they are whole. */
export function countUpdates (file: string, contacts: number): number {
  const database = new Database(file, { readonly: true })
  const count = (sql: string): number => database.prepare<[], number>(sql).pluck().get() ?? 0
  const differs = (table: string, key: string, owner: string, column: string): number => count(`
    SELECT count(*) FROM omnichannel_contact AS contact CROSS JOIN omnichannel_${table} AS copy ON copy.${owner} = '${key}' || substr(contact.id, 2)
    WHERE contact.version > 1 AND copy.${column} <> contact.name`)
  const torn = differs('room', 'c', 'contact_id', 'fname') + differs('inquiry', 'v', 'visitor_id', 'name') +
    differs('subscription', 'v', 'visitor_id', 'name') + differs('subscription', 'v', 'visitor_id', 'fname')
  const updates = count('SELECT sum(version) FROM omnichannel_contact') - contacts
  database.close()
  if (torn > 0) throw new Error(`${file}: ${torn} rows do not carry the name of their contact`)
  return updates
}
