// A PostgreSQL database, with the interface that commands have for a SQLite file.

import { InvalidArgumentError } from 'commander'
import type { Pool, PoolConfig } from 'pg'
import type { Tables } from '../store/tables.js'
import type { Access, Work } from './command.js'
import { CommandError, UsageError, explainOldSchema } from './errors.js'

const answerTimeout = 2000 // ms
const timestamptz = 1184

/** Whether a text is meant as a server and not as a file, well written or not. */
export function isServer (text: string): boolean {
  return /^\s*(?:\/\/[^/]*:[^/]*@|[a-z][a-z\d+.-]*:\/\/|(?:postgres\w*|pg|socket):|(?:host(?:addr)?|port|dbname|user|password)\s*=)/i.test(text)
}

// No @ may follow that of the password: pg would take a part of the password for a host or a database, and name it in errors.
const authority = String.raw`(?:[^/?#]*@)?(?:\[[^\]]*\]|[^@:/?#]*)(?::\d*)?`
const wellWritten = new RegExp(`^(?:(?:postgres(?:ql)?|pg|socket)://${authority}(?:[/?#][^@]*)?|socket:/[^/@][^@]*)$`, 'i')

/** @throws {UsageError} which does not repeat the text: it may hold a password */
export function readServer (text: string): string {
  if (!isServer(text)) throw new InvalidArgumentError('It must be as postgres://user@host/name')
  if (wellWritten.test(text.trim())) return text.trim()
  throw new UsageError('A server must be written as postgres://user@host/name, and / ? # @ in a password as %2F %3F %23 %40')
}

/** A server as messages name it, without its password. */
export function nameOf (url: string): string {
  if (!wellWritten.test(url)) return '***'
  return url.replace(/^([^:]*:\/\/[^:/?#]*):[^/?#]*@/, '$1@').replace(/([?&][^=&]*(?:pass|pwd|%)[^=&]*=)[^&]*/gi, '$1***')
}

/** Replaces each server among the words of a command line in a message. */
export function hidePasswords (message: string, words: string[]): string {
  const servers = words.map((word) => word.replace(/^--?[\w-]+=/, '')).filter(isServer)
  return servers.reduce((text, server) => text.replaceAll(server, nameOf(server)), message)
}

/** Opens a server, brings its schema up to date or only checks it, runs and closes. */
export async function withServer<Result> (url: string, access: Access, work: Work<Result>): Promise<Result> {
  const [{ Kysely, PostgresDialect }, { openStore }, { checkOptions }, { parserOf }] = await Promise.all([
    import('kysely'), import('../store/open-store.js'), import('../options.js'), import('../store/postgres/codec.js')
  ])
  // Rows as SQLite gives them.
  const types = { getTypeParser: (oid: number) => oid === timestamptz ? toTime : parserOf(oid) }
  return await withPool(url, (handle, name) => withPool(url, async (own) => {
    if (access !== 'create' && !await hasTables(own)) throw new CommandError(`The database ${name} has no tables of this program`)
    try {
      await openStore(handle, ignore).migrate(checkOptions({ database: handle, migrate: access !== 'read' }))
    } catch (error) {
      throw access === 'read' ? explainOldSchema(name, error as Error) : error
    }
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: own }) })
    const ask = async (): Promise<unknown> => await inTime(own.query('SELECT max(id) FROM omnichannel_migration'))
    return await work(db, { name, db, handle, ask })
  }, { pipeline: false, types, max: 1 }))
}

/** Opens a server as it is, runs and closes. */
export async function withPool<Result> (
  url: string, work: (pool: Pool, name: string) => Promise<Result>, settings: PoolConfig & { pipeline?: boolean } = { pipeline: true }
): Promise<Result> {
  const name = nameOf(url)
  try {
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({ ...settings, connectionString: url, connectionTimeoutMillis: 5000 })
    // Without a listener a lost connection ends the process, also while a client is checked out. Its queries reject all the same.
    pool.on('error', ignore)
    pool.on('connect', (client) => { client.on('error', ignore) })
    try {
      return await work(pool, name)
    } finally {
      await pool.end()
    }
  } catch (error) {
    throw explainServer(name, error as Error)
  }
}

function ignore (): void {
  // The next query makes another connection.
}

async function hasTables (pool: Pool): Promise<boolean> {
  const found = await pool.query(String.raw`SELECT FROM pg_class WHERE relname LIKE 'omnichannel\_%' AND pg_table_is_visible(oid) LIMIT 1`)
  return found.rows.length > 0
}

function toTime (text: string): string {
  return new Date(text).toISOString()
}

async function inTime (asked: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((_resolve, reject) => { timer = setTimeout(() => { reject(new Error('no answer in time')) }, answerTimeout) })
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
    asked.catch(() => undefined)
  }
}

// What pg says without a code.
const connectionWasLost = /^Connection terminated|not queryable/
const timedOut = /timeout|^no client of the pool was free/
const isOfDatabase = /terminated|not queryable|connect|timeout|^no client of the pool|URI malformed/

/** An error that is none of the database's stays what it is. */
function explainServer (name: string, error: Error): Error {
  const { code, message, cause } = error as Error & { code?: string }
  const isOther = code === undefined ? !isOfDatabase.test(message) : code.startsWith('ERR_') && code !== 'ERR_INVALID_URL'
  if (error instanceof CommandError || isOther) return error
  if (code === 'FOC_DATABASE_BUSY' && cause instanceof Error) return explainServer(name, cause)
  // Where several addresses were tried there is no message.
  const reason = code === 'FOC_DATABASE_BUSY' || timedOut.test(message) ? 'it does not answer in time'
    : connectionWasLost.test(message) ? 'the connection was lost'
      : [message, code].find((text) => text !== '')
  return new CommandError(`The database ${name} cannot be used: ${reason}`, { cause: error })
}
