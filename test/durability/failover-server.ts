// One of several app nodes on the PostgreSQL behind the socket in <folder>, with <lockTimeout>. Sends its port.

import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import omnichannelContacts, { type PostgresClient } from '../../src/index.js'
import { keepLedger } from './failover-ledger.js'

const [host, lockTimeout] = process.argv.slice(2) as [string, string]
const database = new pg.Pool({ host, user: 'postgres', pipeline: true })
// The first connection may take longer than a short lockTimeout, which also holds for the registration.
await database.query('SELECT')
const app = fastify()
await app.register(omnichannelContacts, {
  database,
  lockTimeout: Number(lockTimeout),
  authenticate: () => ({ id: 'load' }),
  authorize: () => true,
  beforeCommit: async ({ contact, request }, client) => await keepLedger(client as PostgresClient, contact, String(request.headers['idempotency-key']))
})
await app.listen({ host: '127.0.0.1', port: 0 })
process.on('disconnect', () => process.exit())
process.send?.({ answer: (app.server.address() as AddressInfo).port })
