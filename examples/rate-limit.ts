// A server behind a reverse proxy. Each address has ten calls a minute, which is Rocket.Chat's default. Under overload the server
// answers 503 at once. Calls are counted before their token is checked, so guessed tokens count too.
//
// In an empty folder, saved as rate-limit.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @fastify/rate-limit @fastify/under-pressure
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx rate-limit.ts
//
// The proxy must send the client's address. In nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;

import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  // X-Forwarded-For is believed only from a proxy on this machine. If yours is elsewhere, give its address. With `true` any client
  // could invent a new address for each call and never reach the limit.
  const app = fastify({ logger, trustProxy: 'loopback' })
  // Answers 503 with Retry-After while the event loop is late by a second.
  await app.register(underPressure, { maxEventLoopDelay: 1000, retryAfter: 5 })
  // The plugins have a context of their own, so that the limit applies to this route only.
  await app.register(async (api) => {
    // It counts by address, and an IPv6 network counts as one. Do not count by X-User-Id: an attacker can send another id with each call.
    await api.register(rateLimit, { max: 10, timeWindow: '1 minute' })
    // Rocket.Chat's clients expect the time of the reset in epoch milliseconds. @fastify/rate-limit sends the seconds that are left.
    api.addHook('onSend', async (_request, reply) => {
      void reply.header('x-ratelimit-reset', Date.now() + Number(reply.getHeader('x-ratelimit-reset')) * 1000)
    })
    await api.register(omnichannelContacts, { database })
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
  const database = new Database('rate-limit.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria, as a proxy would send it for 203.0.113.7. The eleventh call in a minute is refused:
  curl -i -H 'X-Forwarded-For: 203.0.113.7' -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
