// Counts updates by their outcome and records the longest wait, with the plugin's diagnostics channels. It needs no other package.
//
// In an empty folder, saved as counters.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx counters.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken, type CommitMessage, type UpdateMessage } from 'fastify-omnichannel-contacts'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'

export class Counters {
  /** How many updates ended in each way, such as `committed` or `FOC_CONTACT_NOT_FOUND`. */
  readonly updates: Record<string, number> = {}
  commits = 0
  committedUpdates = 0
  /** Milliseconds. */
  longestWait = 0

  private readonly countUpdate = (message: unknown): void => {
    const { outcome = 'unknown', code = outcome, waitedMs } = message as UpdateMessage
    this.updates[code] = (this.updates[code] ?? 0) + 1
    this.longestWait = Math.max(this.longestWait, waitedMs)
  }

  private readonly countCommit = (message: unknown): void => {
    this.commits++
    this.committedUpdates += (message as CommitMessage).updates
  }

  start (): void {
    subscribe('tracing:fastify-omnichannel-contacts:update:asyncEnd', this.countUpdate)
    subscribe('fastify-omnichannel-contacts:commit', this.countCommit)
  }

  stop (): void {
    unsubscribe('tracing:fastify-omnichannel-contacts:update:asyncEnd', this.countUpdate)
    unsubscribe('fastify-omnichannel-contacts:commit', this.countCommit)
  }
}

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  const counters = new Counters()
  counters.start()
  app.addHook('onClose', async () => { counters.stop() })
  await app.register(omnichannelContacts, { database })
  // This route needs no token, so keep it from the public.
  app.get('/counters', () => counters)
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
  const database = new Database('counters.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria, then open ${address}/counters:
  curl -i -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
