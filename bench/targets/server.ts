// A target in a process of its own: one server on one database.

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import pg from 'pg'
import { openDatabase } from '../../src/cli/database.js'
import { createServer } from '../../src/cli/serve/server.js'
import type { Io } from '../../src/cli/shared.js'
import omnichannelContacts from '../../src/index.js'
import { runCommands } from '../run-commands.js'
import { addByHandPostgres } from './by-hand-postgres.js'
import { addByHandSqlite } from './by-hand-sqlite.js'
import { addEmptyRoute } from './empty-route.js'
import { watchTurns } from './event-loop.js'
import { createUpdateTimer } from './in-process.js'
import { addPlainKysely } from './plain-kysely.js'

export type TargetName = 'empty route' | 'by hand' | 'by hand, pipelined' | 'plain Kysely' | 'plugin' | 'serve' | 'serve without worker'

export type ServerOptions = { name: TargetName, contacts: number } & (
  { file: string, synchronous: 'NORMAL' | 'FULL' } |
  /** The folder of PostgreSQL's socket. */
  { host: string, database: string }
)

const options = JSON.parse(process.argv[2]!) as ServerOptions
const { app, close, timeUpdates } = 'file' in options ? await createOnSqlite(options) : await createOnPostgres(options)
await app.listen({ host: '127.0.0.1', port: 0 })

interface TargetServer {
  app: FastifyInstance
  /** Closes the database. */
  close: () => unknown
  /** Measures updates without HTTP. */
  timeUpdates?: (updates: number) => Promise<number>
}

function createApp (): FastifyInstance {
  return fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: false } } })
}

async function createOnSqlite ({ name, file, synchronous, contacts }: Extract<ServerOptions, { file: string }>): Promise<TargetServer> {
  if (name.startsWith('serve')) return await createServe(file, name === 'serve')
  const app = createApp()
  const database = new Database(file)
  database.pragma('journal_mode = WAL')
  database.pragma(`synchronous = ${synchronous}`)
  // As `serve` does. A page that changed several times between two checkpoints is moved once, so rare checkpoints write less.
  database.pragma('wal_autocheckpoint = 10000')
  if (name === 'plugin') await app.register(omnichannelContacts, { database })
  else if (name === 'plain Kysely') addPlainKysely(app, database)
  else if (name === 'by hand') addByHandSqlite(app, database)
  else addEmptyRoute(app)
  return { app, close: () => database.close(), timeUpdates: createUpdateTimer(database, contacts) }
}

/** The server of the command `serve`, with its own pragmas. */
async function createServe (file: string, hasWorker: boolean): Promise<TargetServer> {
  const stderr = new Writable({ write: (_line, _encoding, done) => { done() } })
  const io = { stderr, readAsset: () => Buffer.of(), ...hasWorker && { checkpointWorker: new URL('checkpoint-worker.mjs', import.meta.url) } }
  const handle = await openDatabase(file, io as unknown as Io, 'change')
  const settings = { logLevel: 'info', rateLimit: 0, maxConnections: 0, trustProxy: [], metrics: false }
  const app = await createServer({ handle, ping: () => Promise.resolve() }, settings, io)
  return { app, close: () => handle.close() }
}

async function createOnPostgres ({ name, host, database }: Extract<ServerOptions, { host: string }>): Promise<TargetServer> {
  const app = createApp()
  // The pool keeps its connections while other targets are measured.
  const pool = new pg.Pool({ host, database, user: 'postgres', max: 10, idleTimeoutMillis: 0, pipeline: name !== 'by hand' })
  if (name === 'plugin') await app.register(omnichannelContacts, { database: pool })
  else if (name === 'empty route') addEmptyRoute(app)
  else addByHandPostgres(app, pool, name === 'by hand, pipelined')
  return { app, close: async () => await pool.end() }
}

let stopWatching: ReturnType<typeof watchTurns> | undefined

runCommands((app.server.address() as AddressInfo).port, {
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  watch: () => { stopWatching = watchTurns() },
  turns: () => stopWatching?.(),
  timeUpdates: async (updates: number) => await timeUpdates?.(updates),
  memory: () => {
    globalThis.gc?.()
    const { rss, heapUsed } = process.memoryUsage()
    return { rss, heapUsed }
  },
  stop: async () => {
    await app.close()
    await close()
  }
})
