// A server with its own conversations. The plugin reads them through views, and renames them through triggers in the transaction of
// the update. Nothing is copied, so no copy can be out of date.
//
// In an empty folder, saved as views.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx views.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

// Rooms are found by their contact, subscriptions and inquiries by their visitor. Each has an index for that.
const ownTables = `
  CREATE TABLE IF NOT EXISTS conversation (
    number INTEGER PRIMARY KEY, customer TEXT NOT NULL, visitor TEXT NOT NULL, title TEXT NOT NULL,
    is_waiting INTEGER NOT NULL, changed TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
  CREATE INDEX IF NOT EXISTS conversation_customer ON conversation (customer);
  CREATE INDEX IF NOT EXISTS conversation_visitor ON conversation (visitor);
  CREATE TABLE IF NOT EXISTS tab (agent TEXT, conversation INTEGER, label TEXT NOT NULL, PRIMARY KEY (agent, conversation));
  CREATE INDEX IF NOT EXISTS tab_conversation ON tab (conversation);
`

// A view has the name and all columns of the table that it replaces. Use constants for columns that you do not have. Ids must be
// text: if they were numbers, SQLite would find the row 8 for the id ' 8'. On PostgreSQL a view of one table needs no trigger.
const views = `
  CREATE VIEW IF NOT EXISTS omnichannel_room AS
    SELECT CAST(number AS TEXT) AS id, customer AS contact_id, title AS fname, changed AS updated_at FROM conversation;
  CREATE TRIGGER IF NOT EXISTS rename_conversation INSTEAD OF UPDATE ON omnichannel_room BEGIN
    UPDATE conversation SET title = NEW.fname, changed = NEW.updated_at WHERE number = OLD.id;
  END;

  -- An agent has a tab for each conversation.
  CREATE VIEW IF NOT EXISTS omnichannel_subscription AS
    SELECT agent || '/' || number AS id, CAST(number AS TEXT) AS room_id, visitor AS visitor_id,
      label AS name, label AS fname, changed AS updated_at
    FROM conversation JOIN tab ON conversation = number;
  CREATE TRIGGER IF NOT EXISTS rename_tab INSTEAD OF UPDATE ON omnichannel_subscription BEGIN
    UPDATE tab SET label = NEW.fname WHERE agent || '/' || conversation = OLD.id AND conversation = OLD.room_id;
  END;

  -- The first trigger has already renamed a waiting conversation. The trigger of this view does nothing, but without one SQLite
  -- refuses to update the view.
  CREATE VIEW IF NOT EXISTS omnichannel_inquiry AS
    SELECT CAST(number AS TEXT) AS id, CAST(number AS TEXT) AS room_id, visitor AS visitor_id, title AS name, changed AS updated_at
    FROM conversation WHERE is_waiting;
  CREATE TRIGGER IF NOT EXISTS rename_waiting INSTEAD OF UPDATE ON omnichannel_inquiry BEGIN SELECT 1; END;
`

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  // Create the views before you register the plugin. It creates only the tables that are missing.
  database.exec(ownTables)
  database.exec(views)
  const app = fastify({ logger })
  await app.register(omnichannelContacts, { database })
  const list = database.prepare('SELECT number, title, label FROM conversation LEFT JOIN tab ON conversation = number ORDER BY number')
  app.get('/conversations', () => list.all())
  return app
}

export function addDemoData (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria'), ('joao', 'João');
    INSERT OR IGNORE INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
      VALUES ('maria', 0, 'Live chat', 'visitor-1', 'widget'), ('joao', 0, 'Live chat', 'visitor-2', 'widget');
    INSERT OR IGNORE INTO conversation (number, customer, visitor, title, is_waiting)
      VALUES (1, 'maria', 'visitor-1', 'Maria', 0), (2, 'maria', 'visitor-1', 'Maria', 1), (3, 'joao', 'visitor-2', 'João', 0);
    INSERT OR IGNORE INTO tab VALUES ('ann', 1, 'Maria'), ('ann', 3, 'João');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('views.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria, and look at the conversations:
  curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'
  curl '${address}/conversations'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
