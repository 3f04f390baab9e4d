// A database of PostgreSQL's, as the commands see one of SQLite's.

import type { Pool, PoolConfig } from 'pg'
import type { Tables } from '../store/tables.js'
import type { Work } from './command.js'
import { CommandError } from './errors.js'

const patience = 2000 // ms
const timestamptz = 1184

/** Whether a name is that of a server and not of a file. */
export function isServer (name: string): boolean {
  return /^postgres(ql)?:\/\//.test(name)
}

/** Opens, brings the schema up to date, runs and closes. */
export async function withServer<Result> (url: string, work: Work<Result>): Promise<Result> {
  const [{ Kysely, PostgresDialect }, { openStore }, { checkOptions }, { parserOf }] = await Promise.all([
    import('kysely'), import('../store/open-store.js'), import('../options.js'), import('../store/postgres/codec.js')
  ])
  // Rows as SQLite gives them.
  const types = { getTypeParser: (oid: number) => oid === timestamptz ? toTime : parserOf(oid) }
  return await withPool(url, (handle, name) => withPool(url, async (own) => {
    await openStore(handle, ignore).migrate(checkOptions({ database: handle }))
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: own }) })
    return await work(db, { name, db, handle, ask: async () => await inTime(own.query('SELECT max(id) FROM omnichannel_migration')) })
  }, { pipeline: false, types, max: 1 }))
}

/** Opens as it is, runs and closes. */
export async function withPool<Result> (
  url: string, work: (pool: Pool, name: string) => Promise<Result>, settings: PoolConfig & { pipeline?: boolean } = { pipeline: true }
): Promise<Result> {
  const name = withoutPassword(url)
  try {
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({ ...settings, connectionString: url, connectionTimeoutMillis: 10_000 })
    pool.on('error', ignore)
    try {
      return await work(pool, name)
    } finally {
      await pool.end()
    }
  } catch (error) {
    throw explainServer(name, error as Error)
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
