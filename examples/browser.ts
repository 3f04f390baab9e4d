// A server for web pages of another origin. @fastify/cors lets these pages send requests and read answers. @fastify/helmet adds
// security headers. All answers of the route have the headers of both, also errors.
//
// In an empty folder, saved as browser.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @fastify/cors @fastify/helmet
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx browser.ts

import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(helmet)
  await app.register(cors, {
    origin: ['https://desk.example.com'],
    // The tag for If-Match, whether an answer is a replay, and how long to wait after a 503.
    exposedHeaders: ['ETag', 'Idempotency-Replayed', 'Retry-After']
    // By default a page may send any header. If you set allowedHeaders, list Content-Type, X-User-Id, X-Auth-Token, If-Match and
    // Idempotency-Key.
  })
  await app.register(omnichannelContacts, { database })
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
  const database = new Database('browser.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria as a page of https://desk.example.com would, and look at the headers:
  curl -i -H 'Origin: https://desk.example.com' -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
