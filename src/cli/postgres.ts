// A PostgreSQL server as the database of a command.

import { InvalidArgumentError } from '@commander-js/extra-typings'
import { setTimeout as pause } from 'node:timers/promises'
import type { ClientBase, Pool, PoolConfig } from 'pg'
import type { Tables } from '../store/tables.js'
import { CommandError, UsageError } from './errors.js'
import { lockTimeoutMs, migrateOrCheck, type Access, type OpenDatabase } from './shared.js'

const serverForms = [
  /^[a-z][a-z\d+.:-]*:\/\//i,
  /^\/\/[^/]*:[^/]*@/,
  /^(?:postgres\w*|pg|socket):/i,
  // The keywords of libpq.
  /^(?:host(?:addr)?|port|dbname|user|password)\s*=/i
]

/** Whether a text names a server and not a file. Also true for forms that `readServer` refuses. */
export function isServer (text: string): boolean {
  return serverForms.some((form) => form.test(text.trim()))
}

// A second @ is refused: pg would read a part of the password as the host or the database, and its errors would show that part.
const authority = String.raw`(?:[^/?#]*@)?(?:\[[^\]]*\]|[^@:/?#]*)(?::\d*)?`
const acceptedUrl = new RegExp(`^(?:(?:postgres(?:ql)?|pg|socket)://${authority}(?:[/?#][^@]*)?|socket:/[^/@][^@]*)$`, 'i')

/** The error does not repeat the text: it may hold a password. */
export function readServer (text: string): string {
  if (!isServer(text)) throw new InvalidArgumentError('It must be as postgres://user@host/name')
  if (acceptedUrl.test(text.trim())) return text.trim()
  throw new UsageError('A server must be written as postgres://user@host/name, and / ? # @ in a password as %2F %3F %23 %40')
}

/** The server as messages show it. */
function withoutPassword (url: string): string {
  if (!acceptedUrl.test(url)) return '***'
  // The password is before the @ or in a parameter. The value of a parameter with % in its name is hidden too: it may be an escaped `password`.
  return url.replace(/^([^:]*:\/\/[^:/?#]*):[^/?#]*@/, '$1@').replace(/([?&][^=&]*(?:pass|pwd|%)[^=&]*=)[^&]*/gi, '$1***')
}

/** Hides passwords in a message. `words` come from the command line, such as `--database=postgres://…`. */
export function hidePasswords (message: string, words: string[]): string {
  const servers = words.map((word) => word.replace(/^--?[\w-]+=/, '')).filter(isServer)
  return servers.reduce((text, server) => text.replaceAll(server, withoutPassword(server)), message)
}

/** Connects to a server, migrates the database or only checks its schema, runs `work` and disconnects. */
export async function withServer<Result> (url: string, access: Access, work: (database: OpenDatabase) => Promise<Result>): Promise<Result> {
  const [{ Kysely, PostgresDialect, PostgresQueryCompiler }, { toParameter }] = await Promise.all([
    import('kysely'), import('../store/postgres/codec.js')
  ])
  /** Encodes texts as the plugin does. */
  class Compiler extends PostgresQueryCompiler {
    protected override addParameter (value: string | number | null): void { super.addParameter(toParameter(value)) }
  }
  // Kysely and `ping` get a pool of their own, so that a ping does not wait for updates.
  return await withPool(url, (handle, name) => withPool(url, async (secondPool) => {
    if (access === 'read' || access === 'change') {
      const found = await secondPool.query(String.raw`SELECT FROM pg_class WHERE relname LIKE 'omnichannel\_%' AND pg_table_is_visible(oid) LIMIT 1`)
      if (found.rowCount === 0) throw new CommandError(`The database ${name} has no tables of this program`)
    }
    await migrateOrCheck(handle, name, access !== 'read')
    const dialect = Object.assign(new PostgresDialect({ pool: secondPool }), { createQueryCompiler: () => new Compiler() })
    const db = new Kysely<Tables>({ dialect })
    const ping = (): Promise<unknown> => secondPool.query('SELECT max(id) FROM omnichannel_migration')
    return await work({ name, db, handle, ping })
  }, { max: 1 }))
}

/** timestamp, which is in UTC, and timestamptz. */
const timeOids = [1114, 1184]
const endTimeoutMs = 1000

/** Connects to a server with any schema version, runs `work` and disconnects. Values in rows have the types that they have on SQLite. */
export async function withPool<Result> (
  url: string, work: (pool: Pool, name: string) => Promise<Result>, settings: PoolConfig & { pipeline?: boolean } = { pipeline: true }
): Promise<Result> {
  const name = withoutPassword(url)
  try {
    const [{ default: pg }, { parserOf }] = await Promise.all([import('pg'), import('../store/postgres/codec.js')])
    const toTime = (text: string): string => {
      const time = new Date(text.replace(' ', 'T').replace(/(\+00)?$/, 'Z'))
      // Date cannot read infinity, or the years after 9999 as PostgreSQL writes them.
      return Number.isNaN(time.getTime()) ? text : time.toISOString()
    }
    const types = { getTypeParser: (oid: number) => timeOids.includes(oid) ? toTime : parserOf(oid) }
    // toTime reads times of this form only. The pool waits until it is set.
    const onConnect = async (client: ClientBase): Promise<void> => {
      await client.query("SELECT set_config('datestyle', 'ISO', false), set_config('timezone', 'UTC', false)")
    }
    const pool = new pg.Pool({ ...settings, types, onConnect, connectionString: url, connectionTimeoutMillis: lockTimeoutMs })
    // Without these listeners a lost connection would end the process. Its queries still reject, and the next query makes another connection.
    pool.on('error', () => undefined)
    pool.on('connect', (client) => { client.on('error', () => undefined) })
    try {
      return await work(pool, name)
    } finally {
      // A query may never be answered, such as one of a health check.
      await Promise.race([pool.end(), pause(endTimeoutMs, undefined, { ref: false })])
    }
  } catch (error) {
    throw explainServerError(name, error as Error)
  }
}

const connectionLost = /^Connection terminated|not queryable|^write EPIPE$/
const timedOut = /timeout|^no client of the pool was/
// All errors of pg that have no code.
const messageWithoutCode = /terminated|not queryable|connect|timeout|^no client of the pool|URI malformed/

/** Turns an error of the server into a sentence. Other errors are returned as they are. */
function explainServerError (name: string, error: Error): Error {
  const { code, message, cause } = error as Error & { code?: string }
  // Codes that begin with ERR_ are those of Node.js.
  const isServerError = code === undefined ? messageWithoutCode.test(message) : !code.startsWith('ERR_') || code === 'ERR_INVALID_URL'
  if (error instanceof CommandError || !isServerError) return error
  const isBusy = code === 'FOC_DATABASE_BUSY'
  if (isBusy && cause instanceof Error) return explainServerError(name, cause)
  // pg's message is empty when it has tried several addresses.
  let reason = [message, code].find((text) => text !== '')
  if (isBusy || timedOut.test(message)) reason = 'it does not answer in time'
  else if (connectionLost.test(message)) reason = 'the connection was lost'
  return new CommandError(`The database ${name} cannot be used: ${reason}`, { cause: error })
}
