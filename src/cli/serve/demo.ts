// What `serve --demo` shows: a contact with all that hangs on one.

import type Database from 'better-sqlite3'
import { CommandError } from '../errors.js'
import { issueToken } from '../token.js'

const demoContact = 'demo-contact'
const demoUser = 'demo-agent'
const demoToken = 'serve --demo'

/**
 * Fills an empty database; one that holds the demo contact stays as it is.
 *
 * @throws {CommandError} when somebody else's data is in it
 */
export function fillDemo (database: Database.Database, file: string): void {
  database.transaction(() => {
    if (database.prepare('SELECT 1 FROM omnichannel_contact WHERE id = ?').get(demoContact) !== undefined) return
    const isEmpty = database.prepare(`
      SELECT NOT EXISTS (SELECT 1 FROM omnichannel_contact) AND NOT EXISTS (SELECT 1 FROM omnichannel_user)
        AND NOT EXISTS (SELECT 1 FROM omnichannel_custom_field)`).pluck().get() === 1
    if (!isEmpty) throw new CommandError(`${file} holds other data than the demo: leave --demo out, or name a new file with --database`)
    database.exec(demoSql)
  }).immediate()
}

const demoSql = `
  INSERT INTO omnichannel_user (id, username, name) VALUES ('${demoUser}', 'demo.agent', 'Demo Agent');
  INSERT INTO omnichannel_user_role (user_id, role) VALUES ('${demoUser}', 'livechat-agent');
  INSERT INTO omnichannel_custom_field (id, label, required, regexp) VALUES
    ('plan', 'Plan', 1, '^(free|silver|gold)$'),
    ('customerNumber', 'Customer number', 0, '^[0-9]{4,10}$');
  INSERT INTO omnichannel_contact (id, name, custom_fields, conflicting_fields, unknown, last_chat_id, last_chat_at) VALUES
    ('${demoContact}', 'Maria', '{"plan":"silver"}', '[{"field":"name","value":"Mary"}]', 1, 'demo-room', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
  INSERT INTO omnichannel_contact_email (contact_id, position, address) VALUES ('${demoContact}', 0, 'maria@example.com');
  INSERT INTO omnichannel_contact_phone (contact_id, position, phone_number) VALUES ('${demoContact}', 0, '+1 555 0100');
  INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type, details, last_chat_id, last_chat_at) VALUES
    ('${demoContact}', 0, 'widget', 'demo-visitor', 'widget', '{"type":"widget"}', 'demo-room', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
  INSERT INTO omnichannel_room (id, contact_id, fname) VALUES ('demo-room', '${demoContact}', 'Maria');
  INSERT INTO omnichannel_subscription (id, room_id, visitor_id, name, fname) VALUES
    ('demo-subscription', 'demo-room', 'demo-visitor', 'Maria', 'Maria');
  INSERT INTO omnichannel_inquiry (id, room_id, visitor_id, name) VALUES ('demo-inquiry', 'demo-room', 'demo-visitor', 'Maria');
`

/** A new token for the demo's user; the one of the last start ends with this. */
export function issueDemoToken (database: Database.Database): string {
  return database.transaction(() => {
    database.prepare('DELETE FROM omnichannel_auth_token WHERE user_id = ? AND name = ?').run(demoUser, demoToken)
    return issueToken(database, demoUser, demoToken, null)
  }).immediate()
}

/** The update of the demo contact, on one line, ready to paste. */
export function demoCurl (url: string, token: string): string {
  const body = {
    contactId: demoContact,
    name: 'Maria Silva',
    emails: ['maria.silva@example.com'],
    phones: ['+1 555 0123'],
    customFields: { plan: 'gold', customerNumber: '12345' },
    contactManager: demoUser
  }
  return `curl -i -X POST '${url}/api/v1/omnichannel/contacts.update' -H 'Content-Type: application/json' ` +
    `-H 'X-User-Id: ${demoUser}' -H 'X-Auth-Token: ${token}' -d '${JSON.stringify(body)}'`
}
