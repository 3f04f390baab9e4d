// A history: who changed which field of a contact and when, with the old and the new value. It is written in the transaction of the
// update, so entries and updates are always committed together. An entry can be undone.
//
// In an empty folder, saved as history.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx history.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import omnichannelContacts, { hashToken, type Contact } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'

// The history is personal data of the contact, so it is deleted with the contact. (better-sqlite3 turns foreign keys on.)
const ownTables = `
  CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, contact_id TEXT NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,
    field TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, changed_by TEXT NOT NULL, changed_at TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS history_contact ON history (contact_id, id);
`
interface Entry { contact_id: string, field: keyof Contact, old: string, new: string }

// Converts the old value of a field into the form that the endpoint takes. Two other fields cannot be undone: `unknown` and
// `conflictingFields`. The rules of the endpoint apply to an undo too: a contact cannot lose its name, and the old manager must still be
// an agent.
const toRequestValue: Partial<Record<keyof Contact, (old: never) => unknown>> = {
  name: (old: string) => old,
  emails: (old: Contact['emails']) => old.map(({ address }) => address),
  phones: (old: Contact['phones']) => old.map(({ phoneNumber }) => phoneNumber),
  customFields: (old: object) => old,
  contactManager: (old: string | null) => old ?? ''
}

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(omnichannelContacts, {
    database,
    beforeCommit: ({ contact, previous, changedFields, user }) => {
      for (const field of changedFields) {
        const [oldValue, newValue] = [previous, contact].map((state) => JSON.stringify(state[field] ?? null))
        addEntry.run(contact._id, field, oldValue, newValue, user.id, contact._updatedAt)
      }
    }
  })
  // After the plugin, because this table references one of the plugin's.
  database.exec(ownTables)
  const addEntry = database.prepare('INSERT INTO history (contact_id, field, old, new, changed_by, changed_at) VALUES (?, ?, ?, ?, ?, ?)')
  const findEntry = database.prepare<[string], Entry>('SELECT contact_id, field, old, new FROM history WHERE id = ?')

  // An undo is an ordinary update by the user who asks for it. The endpoint checks the token, and the undo gets its own entries.
  app.post<{ Params: { id: string } }>('/history/:id/undo', async ({ params, headers }, reply) => {
    const entry = findEntry.get(params.id)
    if (entry === undefined) return await reply.code(404).send({ success: false, error: 'error-entry-not-found' })
    const update = async (change: object, etag: string): Promise<LightMyRequestResponse> => await app.inject({
      method: 'POST',
      url: '/api/v1/omnichannel/contacts.update',
      headers: { 'x-user-id': headers['x-user-id'] ?? '', 'x-auth-token': headers['x-auth-token'] ?? '', 'if-match': etag },
      payload: { contactId: entry.contact_id, ...change }
    })
    const forward = async ({ statusCode, body }: LightMyRequestResponse) =>
      await reply.code(statusCode).type('application/json').send(body)

    // An update without a change reads the contact.
    const current = await update({}, '*')
    if (current.statusCode !== 200) return await forward(current)
    const { contact } = current.json<{ contact: Contact }>()
    const convert = toRequestValue[entry.field]
    if (convert === undefined) return await reply.code(400).send({ success: false, error: 'error-cannot-be-undone' })
    if (!isDeepStrictEqual(contact[entry.field] ?? null, JSON.parse(entry.new))) {
      return await reply.code(409).send({ success: false, error: 'error-changed-since' })
    }
    // With the ETag of the contact that was just compared. If the contact has changed meanwhile, the answer is 412.
    const undone = await update({ [entry.field]: convert(JSON.parse(entry.old) as never) }, String(current.headers.etag))
    return await forward(undone)
  })
  return app
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
  const database = new Database('history.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  const curl = "curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret'"
  console.log(`Rename Maria, then undo it:
  ${curl} -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'
  ${curl} -X POST '${address}/history/1/undo'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
