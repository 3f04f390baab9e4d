// An app node in a process of its own, on a SQLite file or on the PostgreSQL behind a socket. It sends its port to its parent.

import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { startCheckpoints } from '../../src/cli/serve/checkpoints.js'
import omnichannelContacts, { type PostgresClient } from '../../src/index.js'
import { openHandle } from '../helpers/open-handle.js'
import { recordInLedger } from './ledger.js'
import type { NodeOptions } from './nodes.js'

const options = JSON.parse(process.argv[2]!) as NodeOptions
const withoutAuth = { authenticate: () => ({ id: 'load' }), authorize: () => true }
const app = fastify()

if ('file' in options) {
  const database = openHandle(options.file)
  database.pragma(`journal_mode = ${options.journal}`)
  database.pragma(`synchronous = ${options.synchronous}`)
  if (options.checkpoints === 'worker') {
    // So few pages that the worker makes a checkpoint most of the time.
    database.pragma('wal_autocheckpoint = 200')
    app.log.warn = (problem: object) => { throw new Error('The worker has failed', { cause: problem }) }
    startCheckpoints(new URL('../../dist/cli/serve/checkpoint-worker.js', import.meta.url), database, app)
  }
  // Without beforeCommit, so that updates share a transaction with no savepoint of their own.
  await app.register(omnichannelContacts, { database, ...withoutAuth })
} else {
  const database = new pg.Pool({ host: options.host, user: 'postgres', pipeline: true })
  // lockTimeout also limits the registration, and the first connection may take longer.
  await database.query('SELECT')
  await app.register(omnichannelContacts, {
    database,
    lockTimeout: options.lockTimeout,
    ...withoutAuth,
    beforeCommit: async ({ contact, request }, client) =>
      await recordInLedger(client as PostgresClient, contact._id, String(request.headers['idempotency-key']))
  })
}

await app.listen({ host: '127.0.0.1', port: 0 })
process.on('disconnect', () => process.exit())
process.send!((app.server.address() as AddressInfo).port)
