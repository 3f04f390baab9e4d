// One of several nodes on one PostgreSQL. All of them give the same answers. If a node fails, the others go on. Several nodes may start
// at the same time: one of them creates the tables.
//
// In an empty folder, saved as several-nodes.ts:
//   npm install fastify-omnichannel-contacts fastify pg
//   npm install --save-dev tsx @types/pg @types/node
//   DATABASE_URL=postgres://user:password@host/name npx tsx several-nodes.ts
//
// In a clone, this starts two nodes with a primary and a synchronous replica:
//   docker compose -f examples/several-nodes.yaml up

import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import pg from 'pg'
import { fileURLToPath } from 'node:url'

export async function buildApp (pool: pg.Pool, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(omnichannelContacts, { database: pool })
  // For the load balancer: a node without its database must get no requests.
  app.get('/health', async () => {
    await pool.query({ text: 'SELECT 1', query_timeout: 2000 } as pg.QueryConfig)
    return { status: 'ok' }
  })
  app.addHook('onClose', async () => { await pool.end() })
  return app
}

/** Adds a user and a contact. Each node may do so. */
export async function addDemoData (pool: pg.Pool): Promise<void> {
  await pool.query(`
    INSERT INTO omnichannel_user (id) VALUES ('ann') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria') ON CONFLICT DO NOTHING;
  `)
}

async function serve (): Promise<void> {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 5000, max: 10 })
  const app = await buildApp(pool, true)
  await addDemoData(pool)
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { void app.close() })
  const address = await app.listen({ host: process.env.HOST ?? '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria. A second node, started with PORT=3001, shows the new name too:
  curl -i -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
