// One node of a contestant, in a process of its own.

import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import pg, { type PoolConfig } from 'pg'
import { answerQuestions } from '../answers.js'
import { loadDist } from '../contestants/dist.js'
import { addByHand } from './by-hand.js'
import { addPlainKysely } from './plain-kysely.js'

export type Contestant = 'by hand' | 'plain Kysely' | 'plugin'

export interface ServerOptions {
  contestant: Contestant
  dist: string
  /** The folder of the socket. */
  host: string
  database: string
}

const { contestant, dist: folder, host, database } = JSON.parse(process.argv[2] as string) as ServerOptions
// While others have their turn a pool must not forget its connections.
const config: PoolConfig & { pipeline?: boolean } = { host, database, user: 'postgres', max: 10, idleTimeoutMillis: 0 }
const pool = new pg.Pool(contestant === 'plugin' ? { ...config, pipeline: true } : config)

const dist = await loadDist(folder)
const app = fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: false } } })
switch (contestant) {
  case 'by hand': addByHand(app, dist, pool); break
  case 'plain Kysely': addPlainKysely(app, dist, pool); break
  case 'plugin': await app.register(dist.index.default, { database: pool })
}
await app.listen({ host: '127.0.0.1', port: 0 })

answerQuestions({
  cpu: () => process.cpuUsage(),
  stop: async () => {
    await app.close()
    await pool.end()
  }
}, (app.server.address() as AddressInfo).port)
