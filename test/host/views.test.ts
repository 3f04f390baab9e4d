import type Database from 'better-sqlite3'
import fastify, { type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import omnichannelContacts, { hashToken } from '../../src/index.js'
import { as, path } from '../build.js'
import { openHandle } from '../handle.js'

// A host that has had users and conversations of its own for years.
const host = `
  CREATE TABLE account (key TEXT PRIMARY KEY, login TEXT, locked_at TEXT);
  CREATE TABLE membership (account_key TEXT, team TEXT);
  CREATE TABLE conversation (key TEXT PRIMARY KEY, customer TEXT, guest TEXT, title TEXT, changed TEXT, is_waiting INTEGER);
  CREATE INDEX conversation_customer ON conversation (customer);
  INSERT INTO account VALUES ('olga', 'olga', NULL), ('lena', 'lena', '2026-01-01'), ('otto', 'otto', NULL);
  INSERT INTO membership VALUES ('olga', 'desk'), ('lena', 'desk'), ('otto', 'kitchen');
  INSERT INTO conversation VALUES
    ('c-1', 'maria', 'visitor-1', 'Maria', '2026-01-01T00:00:00.000Z', 1),
    ('c-2', 'maria', 'visitor-2', 'Maria', '2026-01-01T00:00:00.000Z', 0),
    ('c-3', 'blank', 'visitor-3', 'Blank', '2026-01-01T00:00:00.000Z', 1);

  CREATE VIEW omnichannel_user AS
    SELECT key AS id, login AS username, login AS name, locked_at IS NULL AS active FROM account;
  CREATE VIEW omnichannel_user_role AS
    SELECT account_key AS user_id, 'livechat-agent' AS role FROM membership WHERE team = 'desk';
  CREATE VIEW omnichannel_room AS
    SELECT key AS id, customer AS contact_id, title AS fname, changed AS updated_at FROM conversation;
  CREATE TRIGGER rename_room INSTEAD OF UPDATE ON omnichannel_room BEGIN
    UPDATE conversation SET title = NEW.fname, changed = NEW.updated_at WHERE key = OLD.id;
  END;
  CREATE VIEW omnichannel_subscription AS
    SELECT NULL AS id, NULL AS room_id, NULL AS visitor_id, NULL AS name, NULL AS fname, NULL AS updated_at WHERE false;
  CREATE TRIGGER rename_subscription INSTEAD OF UPDATE ON omnichannel_subscription BEGIN SELECT 1; END;
  CREATE VIEW omnichannel_inquiry AS
    SELECT key AS id, key AS room_id, guest AS visitor_id, title AS name, changed AS updated_at FROM conversation WHERE is_waiting;
  CREATE TRIGGER rename_inquiry INSTEAD OF UPDATE ON omnichannel_inquiry BEGIN
    UPDATE conversation SET title = NEW.name WHERE key = OLD.id;
  END;
`

type Update = (body: object, user: string) => Promise<LightMyRequestResponse>

async function serve (t: Test): Promise<{ database: Database.Database, update: Update }> {
  const database = openHandle(':memory:')
  database.exec(host)
  const app = fastify()
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  await app.register(omnichannelContacts, { database })
  database.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria'), ('blank', 'Blank');
    INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
    VALUES ('maria', 0, 'Widget', 'visitor-1', 'widget');
  `)
  const addToken = database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)')
  for (const user of ['olga', 'lena', 'otto']) addToken.run(hashToken(`token-of-${user}`), user)
  const update: Update = async (payload, user) => await app.inject({ method: 'POST', url: path, headers: as(user), payload })
  return { database, update }
}

t.test("a host with views over its own users: they log in, are locked out and may, as the host's tables say", async (t) => {
  const { update, database } = await serve(t)
  const callers: Record<string, number> = { olga: 200, lena: 401, otto: 403 }
  for (const [user, status] of Object.entries(callers)) {
    t.equal((await update({ contactId: 'maria', phones: ['1'] }, user)).statusCode, status, user)
  }
  t.equal((await update({ contactId: 'maria', contactManager: 'olga' }, 'olga')).statusCode, 200, 'an agent of the host manages')
  t.match((await update({ contactId: 'maria', contactManager: 'otto' }, 'olga')).json(), { error: 'error-contact-manager-not-found' })

  database.exec("UPDATE account SET locked_at = '2026-02-01' WHERE key = 'olga'")
  t.equal((await update({ contactId: 'maria', phones: ['2'] }, 'olga')).statusCode, 401, 'locked by the host')
})

t.test("a rename arrives in the host's own tables, in the same transaction", async (t) => {
  const { update, database } = await serve(t)
  const conversations = (): unknown[] => database.prepare('SELECT key, title, changed FROM conversation ORDER BY key').all()
  const reply = await update({ contactId: 'maria', name: 'Maria B.' }, 'olga')
  t.equal(reply.statusCode, 200)
  const changed: unknown = reply.json().contact._updatedAt
  t.strictSame(conversations(), [
    { key: 'c-1', title: 'Maria B.', changed },
    { key: 'c-2', title: 'Maria B.', changed },
    { key: 'c-3', title: 'Blank', changed: '2026-01-01T00:00:00.000Z' }
  ])

  database.exec("CREATE TRIGGER refuse BEFORE UPDATE OF title ON conversation WHEN NEW.title = 'no' BEGIN SELECT RAISE(ABORT, 'no'); END")
  const before = [conversations(), database.prepare('SELECT * FROM omnichannel_contact').all()]
  t.equal((await update({ contactId: 'maria', name: 'no' }, 'olga')).statusCode, 500)
  t.strictSame([conversations(), database.prepare('SELECT * FROM omnichannel_contact').all()], before, 'nothing changed')
})

t.test('a view that lacks a column: the registration names it', async (t) => {
  const database = openHandle(':memory:')
  database.exec('CREATE TABLE account (key TEXT); CREATE VIEW omnichannel_user AS SELECT key AS id FROM account')
  const app = fastify()
  t.teardown(async () => { await app.close() })
  await t.rejects(async () => await app.register(omnichannelContacts, { database }), {
    code: 'FOC_INCOMPLETE_SCHEMA',
    message: /omnichannel_user\.username, omnichannel_user\.name, omnichannel_user\.active/
  })
})
