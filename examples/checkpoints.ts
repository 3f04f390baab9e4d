// Checkpoints in a worker thread. SQLite's log (WAL) moves into the database file while the event loop goes on. The command `serve` does
// the same.
//
// In an empty folder, saved as checkpoints.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx checkpoints.ts
//
// With node:sqlite, the worker opens the file with DatabaseSync too. Two libraries in one process do not see each other's locks.

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

/** The worker. You can also put it into a file of its own. */
const program = `
  const { workerData } = require('node:worker_threads')
  const Database = require('better-sqlite3')

  // With a timeout of 0, a checkpoint does not wait for readers, and writers do not wait for it.
  const database = new Database(workerData.file, { timeout: 0 })
  const checkpoint = (mode) => database.pragma('wal_checkpoint(' + mode + ')')[0]
  let lengthAtRestart = 0
  setInterval(() => {
    // NOOP only reads the lengths, in pages. SQLite before 3.51 runs PASSIVE instead.
    const { log, checkpointed } = checkpoint('NOOP')
    if (log - checkpointed >= 1000) checkpoint('PASSIVE')
    // After RESTART, the next write goes to the beginning of the log. Otherwise the log would grow as long as there are writes.
    if (log < 4000 || log === lengthAtRestart) return
    lengthAtRestart = log
    checkpoint('RESTART')
  }, 10)
`

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  database.pragma('journal_mode = WAL')
  // SQLite makes a checkpoint itself if the worker is late or has ended.
  database.pragma('wal_autocheckpoint = 10000')
  const app = fastify({ logger })
  await app.register(omnichannelContacts, { database })

  const worker = new Worker(program, { eval: true, workerData: { file: database.name } })
  worker.on('error', (error) => { app.log.warn({ err: error }, 'the worker for checkpoints has ended') })
  app.addHook('onClose', async () => { await worker.terminate() })
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
  const database = new Database('contacts.db')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria:
  curl -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
