// Your own Kysely on the same handle: this one imports contacts while the server answers. Your transactions and those of the plugin
// never mix. An update waits while your transaction is open, and runs between two of them.
//
// In an empty folder, saved as kysely.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 kysely
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx kysely.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken, type SqliteTables } from 'fastify-omnichannel-contacts'
import { Kysely, SqliteDialect } from 'kysely'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export interface Person { id: string, name: string, email: string }

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(omnichannelContacts, { database })
  return app
}

/** Adds people who are not there yet, each in a transaction. */
export async function importPeople (database: Database.Database, people: Iterable<Person>): Promise<void> {
  const db = new Kysely<SqliteTables>({ dialect: new SqliteDialect({ database }) })
  for (const { id, name, email } of people) {
    await db.transaction().execute(async (transaction) => {
      const added = await transaction.insertInto('omnichannel_contact').values({ id, name })
        .onConflict((conflict) => conflict.doNothing()).executeTakeFirst()
      if (added.numInsertedOrUpdatedRows === 0n) return
      await transaction.insertInto('omnichannel_contact_email').values({ contact_id: id, position: 0, address: email }).execute()
    })
    // Lets updates run between two people. Without it they would wait for the whole import, or be answered with 503.
    await setImmediate()
  }
  // Do not call db.destroy(): it closes the handle.
}

export function addDemoData (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('kysely.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria while a thousand other people are imported:
  curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
  await importPeople(database, Array.from({ length: 1000 }, (_, index) =>
    ({ id: `person-${index}`, name: `Person ${index}`, email: `person-${index}@example.com` })))
  console.log('All people are imported.')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
