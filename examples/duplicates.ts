// No e-mail address and no phone number is given to a second contact. The check runs in the transaction of the update, and SQLite
// has one writer at a time, so two who add the same address at once do not both get it, in however many processes.
//
// In an empty folder, saved as duplicates.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx duplicates.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken, UpdateRefusedError, type ContactUpdatedEvent } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

// The plugin's index on address does not fold case, so this is one of our own. SQLite's lower() knows ASCII only: É and é stay
// two letters. Who wants more keeps a folded copy of each address in a table of their own.
const ownIndex = 'CREATE INDEX IF NOT EXISTS contact_email_folded ON omnichannel_contact_email (lower(address))'

// A contact that is not enabled does not exist for the API, and stands in nobody's way. A phone number is compared as it is
// stored, verbatim, and found by the plugin's index.
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

  // Only what is new is looked up: a duplicate that was stored before hinders nobody who changes something else.
  function refuseDuplicates ({ contact, previous }: ContactUpdatedEvent): void {
    const emails = new Set(previous.emails.map(({ address }) => fold(address)))
    for (const { address } of contact.emails) {
      if (!emails.has(fold(address)) && emailOfAnother.get(address, contact._id)) throw new UpdateRefusedError('error-duplicate-email')
    }
    const phones = new Set(previous.phones.map(({ phoneNumber }) => phoneNumber))
    for (const { phoneNumber } of contact.phones) {
      if (!phones.has(phoneNumber) && phoneOfAnother.get(phoneNumber, contact._id)) throw new UpdateRefusedError('error-duplicate-phone')
    }
  }
  return app
}

/** As SQLite's lower() does it. With toLowerCase(), é would pass for untouched where É was, and not be looked up. */
function fold (address: string): string {
  return address.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

export function addDemo (database: Database.Database): void {
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
  addDemo(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  const giveJoao = (email: string): string =>
    `curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"joao","emails":["${email}"]}' '${address}/api/v1/omnichannel/contacts.update'`
  console.log(`Give João an address of his own, and then Maria's, which is refused:
  ${giveJoao('joao@example.com')}
  ${giveJoao('Maria@Example.com')}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
