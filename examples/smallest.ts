// The smallest server: one database file, one route, one user and one contact. The data is in the file, so you can stop and start it
// at any time.
//
// In an empty folder, saved as smallest.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx smallest.ts
//
// With Node.js 24.16+ or 26.1+, better-sqlite3 is not needed. Leave out the package and its types, and open the file with node:sqlite:
//   import { DatabaseSync } from 'node:sqlite'
//   const database = new DatabaseSync('contacts.db')
//   database.exec('PRAGMA journal_mode = WAL')

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

/** The plugin also accepts a DatabaseSync of node:sqlite. */
export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(omnichannelContacts, { database })
  return app
}

/** Adds a user and a contact. Insert your own into the same tables. */
export function addDemoData (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('contacts.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria:
  curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
