// An outbox: each update stores a message in its own transaction, and a worker sends it. Every committed update is sent, in order and
// at least once, also after a crash of the process or the receiver. An update that was rolled back is never sent.
//
// In an empty folder, saved as outbox.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx outbox.ts
//
// It prints the messages. With RECEIVER=https://example.com/hook before the command it sends them to that web hook.

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

// AUTOINCREMENT never uses an id again. The receiver recognises a repeated message by its id.
const ownTables = 'CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL)'

export interface Row { id: number, message: string }
/** Resolves when the receiver has stored the row. */
export type Send = (row: Row) => Promise<void>

/** Run the worker in one process only: two would overtake each other. */
export async function buildApp (database: Database.Database, send: Send, logger = false): Promise<FastifyInstance> {
  database.exec(ownTables)
  const addRow = database.prepare('INSERT INTO outbox (message) VALUES (?)')
  const findOldestRow = database.prepare<[], Row>('SELECT id, message FROM outbox ORDER BY id LIMIT 1')
  const deleteRow = database.prepare('DELETE FROM outbox WHERE id = ?')
  const app = fastify({ logger })
  let sending: Promise<void> | undefined
  let isClosing = false

  async function sendAllRows (): Promise<void> {
    for (let row = findOldestRow.get(); row !== undefined && !isClosing; row = findOldestRow.get()) {
      await send(row)
      // If the process is killed right here, the row stays and is sent again.
      deleteRow.run(row.id)
    }
  }

  // To keep the order, a row that cannot be sent holds up the rows behind it. It is tried again each second.
  function startSending (): void {
    sending ??= sendAllRows()
      .catch((error: unknown) => { app.log.error({ err: error }, 'the outbox could not be emptied') })
      .finally(() => { sending = undefined })
  }

  await app.register(omnichannelContacts, {
    database,
    beforeCommit: ({ contact, changedFields, user }) => { addRow.run(JSON.stringify({ contact, changedFields, by: user.id })) },
    onContactUpdated: startSending
  })
  const timer = setInterval(startSending, 1000)
  app.addHook('onClose', async () => {
    isClosing = true
    clearInterval(timer)
    await sending
  })
  return app
}

/** Sends to a web hook. An answer other than 2xx is a failure. */
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

export function addDemoData (database: Database.Database): void {
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
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Update Maria, and see what is sent:
  curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
