// Refuses an e-mail address or phone number that another contact has. The check runs in the transaction of the update, and SQLite has
// one writer at a time. So two simultaneous updates cannot both add the same address, also in several processes.
//
// In an empty folder, saved as duplicates.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx duplicates.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken, UpdateRefusedError, type ContactUpdatedEvent } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

// The plugin's index on address is case-sensitive, so this example adds its own. SQLite's lower() changes ASCII letters only: É and é stay
// different. To compare those too, keep a lower-case copy of each address in a table of your own.
const ownIndex = 'CREATE INDEX IF NOT EXISTS contact_email_folded ON omnichannel_contact_email (lower(address))'

// A disabled contact does not exist for the API, so its addresses are free. Phone numbers are compared as they are stored, by the
// plugin's index.
export const findEmail = `
  SELECT 1 FROM omnichannel_contact_email JOIN omnichannel_contact ON id = contact_id AND enabled
  WHERE lower(address) = lower(?) AND contact_id <> ?`
export const findPhone = `
  SELECT 1 FROM omnichannel_contact_phone JOIN omnichannel_contact ON id = contact_id AND enabled
  WHERE phone_number = ? AND contact_id <> ?`

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(omnichannelContacts, { database, beforeCommit: refuseDuplicates })
  database.exec(ownIndex)
  const emailOfAnother = database.prepare(findEmail)
  const phoneOfAnother = database.prepare(findPhone)

  // Check only new values, so that a contact with an old duplicate can still be updated.
  function refuseDuplicates ({ contact, previous }: ContactUpdatedEvent): void {
    const previousEmails = new Set(previous.emails.map(({ address }) => lower(address)))
    for (const { address } of contact.emails) {
      if (!previousEmails.has(lower(address)) && emailOfAnother.get(address, contact._id)) throw new UpdateRefusedError('error-duplicate-email')
    }
    const previousPhones = new Set(previous.phones.map(({ phoneNumber }) => phoneNumber))
    for (const { phoneNumber } of contact.phones) {
      if (!previousPhones.has(phoneNumber) && phoneOfAnother.get(phoneNumber, contact._id)) throw new UpdateRefusedError('error-duplicate-phone')
    }
  }
  return app
}

/** Changes ASCII letters only, as SQLite's lower() does. With toLowerCase(), a change from É to é would not count as new. */
function lower (address: string): string {
  return address.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

export function addDemoData (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria'), ('joao', 'João');
    INSERT OR IGNORE INTO omnichannel_contact_email VALUES ('maria', 0, 'maria@example.com');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('duplicates.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  const curlForJoao = (email: string): string =>
    `curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"joao","emails":["${email}"]}' '${address}/api/v1/omnichannel/contacts.update'`
  console.log(`Give João an address of his own. Then give him Maria's, which is refused:
  ${curlForJoao('joao@example.com')}
  ${curlForJoao('Maria@Example.com')}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
