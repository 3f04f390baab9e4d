import Database from 'better-sqlite3'
import fastify from 'fastify'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import omnichannelContacts, { hashToken } from '../../src/index.js'

const schemaSql = readFileSync('schema.sql', 'utf8')

async function rejection (t: Test, database: Database.Database, migrate = true): Promise<{ code?: string, message?: string } | undefined> {
  const app = fastify()
  t.teardown(async () => { await app.close(); database.close() })
  try {
    await app.register(omnichannelContacts, { database, migrate })
    return undefined
  } catch (error) {
    return { code: (error as { code: string }).code, message: (error as Error).message }
  }
}

function incomplete (missing: string): object {
  return {
    code: 'FOC_INCOMPLETE_SCHEMA',
    message: `The database lacks ${missing}. Register with migrate: true, run schema.sql, or give your view or table these columns`
  }
}

const tables = [...schemaSql.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+)/gm)].map(([, table]) => table!)

void t.test('migrate: false names what is missing, and writes nothing', async (t) => {
  const database = new Database(':memory:')
  t.strictSame(await rejection(t, database, false), incomplete(tables.join(', ')))
  t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), [])

  const partial = new Database(':memory:')
  partial.exec(schemaSql)
  partial.exec('DROP TABLE omnichannel_room; ALTER TABLE omnichannel_user DROP COLUMN username')
  t.strictSame(await rejection(t, partial, false), incomplete('omnichannel_user.username, omnichannel_room'))
})

void t.test('migrate: false is content with what schema.sql made', async (t) => {
  const database = new Database(':memory:')
  database.exec(schemaSql)
  t.equal(await rejection(t, database, false), undefined)
  t.strictSame(database.prepare('SELECT * FROM omnichannel_role_permission').all(), [])
  t.strictSame(database.prepare('SELECT * FROM omnichannel_migration').all(), [])
})

void t.test('a table or view of the host that lacks a column is named, and nothing is created around it', async (t) => {
  const hosts: Record<string, string> = {
    'omnichannel_user.active': 'CREATE TABLE omnichannel_user (id TEXT PRIMARY KEY, username TEXT, name TEXT)',
    'omnichannel_user.username, omnichannel_user.active': "CREATE VIEW omnichannel_user AS SELECT 'x' AS id, 'x' AS name",
    'omnichannel_room.fname': 'CREATE TABLE omnichannel_room (id TEXT, contact_id TEXT, updated_at TEXT)',
    'omnichannel_role_permission.permission': 'CREATE TABLE omnichannel_role_permission (role TEXT)',
    'omnichannel_contact_email.address': 'CREATE TABLE omnichannel_contact_email (contact_id TEXT, position INTEGER)',
    'omnichannel_migration.id': 'CREATE TABLE omnichannel_migration (applied_at TEXT)'
  }
  for (const [missing, sql] of Object.entries(hosts)) {
    const database = new Database(':memory:')
    database.exec(sql)
    t.strictSame(await rejection(t, database), incomplete(missing), missing)
    t.equal(database.prepare('SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL').pluck().get(), 1, 'nothing was created')
  }
})

const ownTables = `
  CREATE TABLE person (key TEXT PRIMARY KEY, login TEXT, fullname TEXT, left_at TEXT, role TEXT);
  CREATE TABLE chat (key TEXT PRIMARY KEY, person TEXT, title TEXT, touched TEXT);
  CREATE TABLE seat (key TEXT PRIMARY KEY, visitor TEXT, title TEXT, touched TEXT);
  CREATE TABLE ticket (key TEXT PRIMARY KEY, visitor TEXT, title TEXT, touched TEXT);
  INSERT INTO person VALUES ('u1', 'alice', 'Alice', NULL, 'support'), ('u2', 'left', 'Left', '2026-01-01', 'support'), ('u3', 'cook', 'Cook', NULL, 'kitchen');
  INSERT INTO chat VALUES ('c1', 'maria', 'Maria', ''), ('c2', 'other', 'Other', '');
  INSERT INTO seat VALUES ('s1', 'visitor-1', 'Maria', ''), ('s2', 'visitor-9', 'Other', '');
  INSERT INTO ticket VALUES ('t1', 'visitor-2', 'Maria', ''), ('t2', 'visitor-9', 'Other', '');

  CREATE VIEW omnichannel_user AS SELECT key AS id, login AS username, fullname AS name, left_at IS NULL AS active FROM person;
  CREATE VIEW omnichannel_user_role AS SELECT key AS user_id, 'livechat-agent' AS role FROM person WHERE role = 'support';
  CREATE VIEW omnichannel_role_permission AS SELECT 'livechat-agent' AS role, 'update-livechat-contact' AS permission;
  CREATE VIEW omnichannel_room AS SELECT key AS id, person AS contact_id, title AS fname, touched AS updated_at FROM chat;
  CREATE VIEW omnichannel_subscription AS
    SELECT key AS id, '' AS room_id, visitor AS visitor_id, title AS name, title AS fname, touched AS updated_at FROM seat;
  CREATE VIEW omnichannel_inquiry AS SELECT key AS id, '' AS room_id, visitor AS visitor_id, title AS name, touched AS updated_at FROM ticket;
  CREATE TRIGGER rename_chat INSTEAD OF UPDATE ON omnichannel_room BEGIN
    UPDATE chat SET title = new.fname, touched = new.updated_at WHERE key = old.id;
  END;
  CREATE TRIGGER rename_seat INSTEAD OF UPDATE ON omnichannel_subscription BEGIN
    UPDATE seat SET title = new.name || '/' || new.fname, touched = new.updated_at WHERE key = old.id;
  END;
  CREATE TRIGGER rename_ticket INSTEAD OF UPDATE ON omnichannel_inquiry BEGIN
    UPDATE ticket SET title = new.name, touched = new.updated_at WHERE key = old.id;
  END;`

void t.test("views over the host's own tables: left as they are, and served from end to end", async (t) => {
  const database = new Database(':memory:')
  database.exec(ownTables)
  const views = database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name")
  const before = views.all()
  const app = fastify()
  t.teardown(async () => { await app.close(); database.close() })
  await app.register(omnichannelContacts, { database })
  t.strictSame(views.all(), before)

  const addToken = database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)')
  for (const user of ['u1', 'u2', 'u3']) addToken.run(hashToken(user), user)
  database.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
    INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
    VALUES ('maria', 0, 'Widget', 'visitor-1', 'widget'), ('maria', 1, 'SMS', 'visitor-2', 'sms')`)
  const update = (user: string, payload: object) => app.inject({
    method: 'POST', url: '/api/v1/omnichannel/contacts.update', headers: { 'x-user-id': user, 'x-auth-token': user }, payload
  })
  t.equal((await update('u2', { contactId: 'maria', name: 'X' })).statusCode, 401, 'who has left')
  t.equal((await update('u3', { contactId: 'maria', name: 'X' })).statusCode, 403, 'the cook')
  t.equal((await update('u1', { contactId: 'maria', name: 'X', contactManager: 'u3' })).json().error, 'error-contact-manager-not-found')

  const { contact } = (await update('u1', { contactId: 'maria', name: 'Marie', contactManager: 'u1' })).json()
  t.match(contact, { name: 'Marie', contactManager: 'u1' })
  const touched: string = contact._updatedAt
  t.strictSame(['chat', 'seat', 'ticket'].map((table) => database.prepare(`SELECT key, title, touched FROM ${table} ORDER BY 1`).raw().all()), [
    [['c1', 'Marie', touched], ['c2', 'Other', '']],
    [['s1', 'Marie/Marie', touched], ['s2', 'Other', '']],
    [['t1', 'Marie', touched], ['t2', 'Other', '']]
  ])
})
