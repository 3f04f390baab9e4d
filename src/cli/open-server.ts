// A database of PostgreSQL's, as the commands see one of SQLite's.

import type { Pool, PoolConfig } from 'pg'
import type { Tables } from '../store/tables.js'
import { CommandError } from './errors.js'
import type { Work } from './opened.js'

const patience = 2000 // ms
const timestamptz = 1184

/** Whether a name is that of a server and not of a file. */
export function isServer (name: string): boolean {
  return /^postgres(ql)?:\/\//.test(name)
}

/** Opens, brings the schema up to date, runs and closes. */
export async function withServer<Result> (url: string, work: Work<Result>): Promise<Result> {
  try {
    return await use(url, withoutPassword(url), work)
  } catch (error) {
    throw explainServer(withoutPassword(url), error as Error)
  }
}

async function use<Result> (url: string, name: string, work: Work<Result>): Promise<Result> {
  const [{ default: pg }, { Kysely, PostgresDialect }, { openStore }, { checkOptions }, { parserOf }] = await Promise.all([
    import('pg'), import('kysely'), import('../store/open-store.js'), import('../options.js'), import('../store/postgres/codec.js')
  ])
  const settings: PoolConfig & { pipeline: boolean } = { connectionString: url, pipeline: true, connectionTimeoutMillis: 10_000 }
  const given = new pg.Pool(settings)
  // Rows as SQLite gives them.
  const types = { getTypeParser: (oid: number) => oid === timestamptz ? toTime : parserOf(oid) }
  const own: Pool = new pg.Pool({ ...settings, pipeline: false, types: types, max: 1 })
  for (const pool of [given, own]) pool.on('error', ignore)
  try {
    await openStore(given, ignore).migrate(checkOptions({ database: given }))
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: own }) })
    return await work(db, { name, db, given, ask: async () => await inTime(own.query('SELECT max(id) FROM omnichannel_migration')) })
  } finally {
    await Promise.all([given.end(), own.end()])
  }
}

/** The next query makes another connection. */
function ignore (): void {
  // Nobody used the one that was lost.
}

function toTime (text: string): string {
  return new Date(text).toISOString()
}

async function inTime (asked: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((_resolve, reject) => { timer = setTimeout(() => { reject(new Error('no answer in time')) }, patience) })
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
    asked.catch(() => undefined)
  }
}

/** What may be shown of a text with the name of a server in it. */
export function withoutPassword (text: string): string {
  return text.replace(/(postgres\w*:\/\/[^:@/\s]*):[^@/\s]*@/g, '$1@').replace(/([?&]password=)[^&\s']*/g, '$1***')
}

/** An error that is none of the database's stays what it is. */
function explainServer (name: string, error: Error): Error {
  const { code, message, cause } = error as Error & { code?: unknown }
  if (error instanceof CommandError || typeof code !== 'string' || code.startsWith('ERR_')) return error
  if (code === 'FOC_DATABASE_BUSY' && cause instanceof Error) return explainServer(name, cause)
  // Where several addresses were tried there is no message.
  const reason = [message, code].find((text) => text !== '')
  return new CommandError(`The database ${name} cannot be used: ${reason}`, { cause: error })
}
