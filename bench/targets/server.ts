// A target in a process of its own: one server on one database.

import Database from 'better-sqlite3'
import fastify from 'fastify'
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
import { createInProcess } from './in-process.js'
import { addPlainKysely } from './plain-kysely.js'

export type TargetName = 'empty route' | 'by hand' | 'by hand, pipelined' | 'plain Kysely' | 'plugin' | 'serve' | 'serve without worker'

export type ServerOptions = { name: TargetName, contacts: number } & (
  { file: string, synchronous: 'NORMAL' | 'FULL' } |
  /** The folder of PostgreSQL's socket. */
  { host: string, database: string }
)

const options = JSON.parse(process.argv[2]!) as ServerOptions
let app = fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: false } } })
const { close, inProcess } = 'file' in options ? await addSqlite(options) : await addPostgres(options)
await app.listen({ host: '127.0.0.1', port: 0 })

/** What a target needs besides its route. */
interface Backing {
  close: () => unknown
  inProcess?: (updates: number) => Promise<number>
}

async function addSqlite ({ name, file, synchronous, contacts }: Extract<ServerOptions, { file: string }>): Promise<Backing> {
  if (name.startsWith('serve')) return await serve(file, name === 'serve')
  const database = new Database(file)
  database.pragma('journal_mode = WAL')
  database.pragma(`synchronous = ${synchronous}`)
  // As `serve` has it: between rare checkpoints, fewer pages are written twice.
  database.pragma('wal_autocheckpoint = 10000')
  if (name === 'plugin') await app.register(omnichannelContacts, { database })
  else if (name === 'plain Kysely') addPlainKysely(app, database)
  else if (name === 'by hand') addByHandSqlite(app, database)
  else addEmptyRoute(app)
  return { close: () => database.close(), inProcess: createInProcess(database, contacts) }
}

/** The server of the command `serve`, with its own pragmas. */
async function serve (file: string, hasWorker: boolean): Promise<Backing> {
  const stderr = new Writable({ write: (_line, _encoding, done) => { done() } })
  const io = { stderr, readAsset: () => Buffer.of(), ...hasWorker && { checkpointWorker: new URL('checkpoint-worker.mjs', import.meta.url) } }
  const handle = await openDatabase(file, io as unknown as Io, 'change')
  const settings = { logLevel: 'info', rateLimit: 0, maxConnections: 0, trustProxy: [], metrics: false }
  app = await createServer({ handle, ping: () => Promise.resolve() }, settings, io) as typeof app
  return { close: () => handle.close() }
}

async function addPostgres ({ name, host, database }: Extract<ServerOptions, { host: string }>): Promise<Backing> {
  // The pool keeps its connections while other targets are measured.
  const pool = new pg.Pool({ host, database, user: 'postgres', max: 10, idleTimeoutMillis: 0, pipeline: name !== 'by hand' })
  if (name === 'plugin') await app.register(omnichannelContacts, { database: pool })
  else if (name === 'empty route') addEmptyRoute(app)
  else addByHandPostgres(app, pool, name === 'by hand, pipelined')
  return { close: async () => await pool.end() }
}

let stopWatching: ReturnType<typeof watchTurns> | undefined

runCommands((app.server.address() as AddressInfo).port, {
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  watch: () => { stopWatching = watchTurns() },
  turns: () => stopWatching?.(),
  inProcess: async (updates: number) => await inProcess?.(updates),
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
