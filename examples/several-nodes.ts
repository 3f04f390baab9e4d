// One of several nodes on one PostgreSQL: any of them answers, and any of them may be lost.
//
//   DATABASE_URL=postgres://user:password@host/name npx tsx examples/several-nodes.ts
//   docker compose -f examples/several-nodes.yaml up      two of them, a primary and a synchronous replica

import fastify from 'fastify'
import omnichannelContacts from 'fastify-omnichannel-contacts'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], pipeline: true, max: 10 })

const app = fastify({ logger: true })
await app.register(omnichannelContacts, { database: pool })
// For the load balancer: a node that has lost its database gets no requests.
app.get('/health', async () => {
  await pool.query({ text: 'SELECT 1', query_timeout: 2000 } as pg.QueryConfig)
  return { status: 'ok' }
})
app.addHook('onClose', async () => { await pool.end() })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { void app.close() })
await app.listen({ host: process.env['HOST'] ?? '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
