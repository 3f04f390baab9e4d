// A server behind a reverse proxy: each address has ten calls a minute, Rocket.Chat's default, and one that is overloaded says so
// at once. A call is counted before its token is looked at, so whoever guesses tokens is counted too.
//
// In an empty folder, saved as rate-limit.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @fastify/rate-limit @fastify/under-pressure
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx rate-limit.ts
//
// The proxy says for whom it asks. In nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;

import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  // X-Forwarded-For is believed of a proxy on this machine only; name the addresses of others. With `true` it would be believed
  // of everybody, and whoever names another address with each call would never be stopped.
  const app = fastify({ logger, trustProxy: 'loopback' })
  // Answers 503 with Retry-After while the event loop is a second late.
  await app.register(underPressure, { maxEventLoopDelay: 1000, retryAfter: 5 })
  // Both in a context of their own, so that the limit is that of this route only.
  await app.register(async (api) => {
    // Not by X-User-Id: strangers would name another user with each call. A whole network of IPv6 counts as one address.
    await api.register(rateLimit, { max: 10, timeWindow: '1 minute' })
    // Rocket.Chat's clients expect the time of the reset in milliseconds; the plugin writes how many seconds are left.
    api.addHook('onSend', async (_request, reply) => {
      void reply.header('x-ratelimit-reset', Date.now() + Number(reply.getHeader('x-ratelimit-reset')) * 1000)
    })
    await api.register(omnichannelContacts, { database })
  })
  return app
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
  const database = new Database('rate-limit.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemo(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria as the proxy would ask for 203.0.113.7; the eleventh time within a minute it is refused:
  curl -i -H 'X-Forwarded-For: 203.0.113.7' -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
