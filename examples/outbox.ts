// An outbox: each update leaves a message in its own transaction, and a worker sends it on. What is committed is sent, in order
// and at least once, whenever the process or the receiver dies; what was undone is never sent.
//
// In an empty folder, saved as outbox.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx outbox.ts
//
// With RECEIVER=https://example.com/hook in front it sends to that web hook, and prints otherwise.

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

// AUTOINCREMENT, because an id must never come again: it is what the receiver knows a double by.
const ownTables = 'CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL)'

export interface Row { id: number, message: string }
/** Resolves when the receiver has the row for good. */
export type Send = (row: Row) => Promise<void>

/** Run the worker in one process only: two would overtake each other. */
export async function buildApp (database: Database.Database, send: Send, logger = false): Promise<FastifyInstance> {
  database.exec(ownTables)
  const add = database.prepare('INSERT INTO outbox (message) VALUES (?)')
  const findOldest = database.prepare<[], Row>('SELECT id, message FROM outbox ORDER BY id LIMIT 1')
  const remove = database.prepare('DELETE FROM outbox WHERE id = ?')
  const app = fastify({ logger })
  let working: Promise<void> | undefined
  let closing = false

  async function empty (): Promise<void> {
    for (let row = findOldest.get(); row !== undefined && !closing; row = findOldest.get()) {
      await send(row)
      // Killed right here, it leaves the row behind, and the next one sends it again.
      remove.run(row.id)
    }
  }

  // A row that cannot be sent holds up those behind it, which is what keeping the order costs. It is tried again each second.
  function wake (): void {
    working ??= empty()
      .catch((error: unknown) => { app.log.error({ err: error }, 'the outbox could not be emptied') })
      .finally(() => { working = undefined })
  }

  await app.register(omnichannelContacts, {
    database,
    beforeCommit: ({ contact, changedFields, user }) => { add.run(JSON.stringify({ contact, changedFields, by: user.id })) },
    onContactUpdated: wake
  })
  const clock = setInterval(wake, 1000)
  app.addHook('onClose', async () => {
    closing = true
    clearInterval(clock)
    await working
  })
  return app
}

/** Sends to a web hook; whatever is not answered with 2xx was not sent. */
export function postTo (url: string): Send {
  return async ({ id, message }) => {
    const reply = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': `outbox-${id}` },
      body: message,
      signal: AbortSignal.timeout(10_000)
    })
    await reply.text()
    if (!reply.ok) throw new Error(`The receiver answered ${reply.status}`)
  }
}

export function addDemo (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('outbox.db')
  database.pragma('journal_mode = WAL')
  const receiver = process.env.RECEIVER
  const send: Send = receiver === undefined ? async (row) => { console.log('to be sent', row) } : postTo(receiver)
  const app = await buildApp(database, send, true)
  addDemo(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Update Maria, and see what is sent:
  curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
