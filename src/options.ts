import type { FastifyRequest } from 'fastify'
import leven from 'leven'
import { InvalidOptionError, UnknownOptionError } from './errors.js'
import type { Contact } from './rules/schemas.js'
import { isPool, type PostgresPool } from './store/postgres/handle.js'
import { isOpenDatabase, type SqliteDatabase } from './store/sqlite/handle.js'

/** The calling user. A host's own `authenticate` may return an object with more. */
export interface User {
  id: string
}

/** What `beforeCommit` and `onContactUpdated` are told. */
export interface ContactUpdatedEvent {
  /** The contact as it is now, and as the caller sees it. */
  contact: Contact
  /** The contact as it was. */
  previous: Contact
  /** The keys of the contact whose value differs, `_updatedAt` left out; empty where everything sent was stored already. */
  changedFields: Array<keyof Contact>
  user: User
  request: FastifyRequest
}

export interface OmnichannelContactsOptions {
  /** The host's open better-sqlite3 handle, or its `pg.Pool`. The plugin never closes it. */
  database: SqliteDatabase | PostgresPool
  /** Path in front of `/omnichannel/contacts.update`. Default `/api/v1`. */
  prefix?: string
  /** `true` creates what is missing of `schema.sql`; `false` only checks that all is there. Default `true`. */
  migrate?: boolean
  /** Who is calling? Default: the tokens in the database, by `X-User-Id` and `X-Auth-Token`. Nobody is answered with 401. */
  authenticate?: (request: FastifyRequest) => User | null | undefined | Promise<User | null | undefined>
  /** May this user do it? Default: the roles in the database. Anything but `true` is answered with 403. */
  authorize?: (user: User, permission: string, request: FastifyRequest) => boolean | Promise<boolean>
  /** Milliseconds that the look-up of the caller, and then the update, may wait for the database before 503. Default 5000. */
  lockTimeout?: number
  /** The largest body that is read, in bytes. Default 262144 (256 KiB). */
  bodyLimit?: number
  /** Milliseconds that an answer is remembered for its `Idempotency-Key`. Default 86400000 (24 hours). */
  idempotencyWindow?: number
  /**
   * Called inside the transaction, once for each update that writes, after the rows are written. On SQLite `connection` is
   * the host's own handle and the hook must be synchronous: a promise undoes the update. On PostgreSQL it is the client
   * that is in the transaction, and the hook is awaited; it is called again where the transaction has to be begun again.
   * Throwing `UpdateRefusedError` undoes the update and answers 400 with its text; throwing anything else undoes it and
   * answers 500.
   */
  // Not narrower, so that a host gives it the type that its own driver has for it.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  beforeCommit?: (event: ContactUpdatedEvent, connection: any) => unknown
  /** Called after COMMIT, once for each update that wrote. Not awaited; what it throws is logged and changes nothing. */
  onContactUpdated?: (event: ContactUpdatedEvent) => unknown
}

/** The options after the check; what has no default but a host's function stays absent. */
export interface Settings extends Omit<OmnichannelContactsOptions, 'prefix'> {
  prefix: string
  migrate: boolean
  lockTimeout: number
  bodyLimit: number
  idempotencyWindow: number
}

type Check = [test: (value: unknown) => boolean, expected: string]

const func: Check = [(value) => typeof value === 'function', 'a function']
const checks: Record<string, Check> = {
  database: [(value) => isOpenDatabase(value) || isPool(value), 'an open better-sqlite3 database or a pg Pool'],
  prefix: [(value) => typeof value === 'string', 'a string'],
  migrate: [(value) => typeof value === 'boolean', 'a boolean'],
  authenticate: func,
  authorize: func,
  lockTimeout: [(value) => isInteger(value, 0, 2 ** 31 - 1), 'a number of milliseconds, a whole one from 0 to 2147483647'],
  bodyLimit: [(value) => isInteger(value, 1, Number.MAX_SAFE_INTEGER), 'a number of bytes, a whole one from 1'],
  idempotencyWindow: [(value) => isInteger(value, 1, 1e12), 'a number of milliseconds, a whole one from 1 to 1000000000000'],
  beforeCommit: func,
  onContactUpdated: func
}
const optionsOfFastify = ['logLevel', 'logSerializers']

/**
 * Checks what the host passed and fills in the defaults, in a new object.
 *
 * @throws {InvalidOptionError} {UnknownOptionError}
 */
export function checkOptions (options: OmnichannelContactsOptions): Settings {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(checks, name) && !optionsOfFastify.includes(name)) throw new UnknownOptionError(name, hint(name))
  }
  const given: Record<string, unknown> = {}
  for (const [name, [test, expected]] of Object.entries(checks)) {
    const value: unknown = options[name as keyof OmnichannelContactsOptions]
    if (value === undefined && name !== 'database') continue
    if (!test(value)) throw new InvalidOptionError(name, name === 'database' ? expected + adviceOn(value) : expected)
    given[name] = value
  }
  return { migrate: true, lockTimeout: 5000, bodyLimit: 256 * 1024, idempotencyWindow: 24 * 60 * 60 * 1000, ...given, prefix: options.prefix === undefined ? '/api/v1' : '' } as Settings
}

function isInteger (value: unknown, from: number, to: number): boolean {
  return Number.isInteger(value) && Number(value) >= from && Number(value) <= to
}

/** What somebody holds who took another library's object for the database. */
function adviceOn (value: unknown): string {
  const { selectFrom, unsafe, execProtocolRaw, connect, query } = Object(value) as Record<string, unknown>
  if (selectFrom !== undefined) return '; this is a Kysely instance: pass the handle or pool that it was made with'
  if (unsafe !== undefined) return '; this is a client of postgres.js: pass a Pool of the package pg'
  if (execProtocolRaw !== undefined) return '; this is a PGlite database: pass a Pool of the package pg, or a better-sqlite3 database'
  if (connect !== undefined && query !== undefined) return '; this is a single client: pass the Pool of the package pg'
  return ''
}

function hint (name: string): string {
  const likely = Object.keys(checks).find((known) => leven(known.toLowerCase(), name.toLowerCase()) <= 2)
  return likely === undefined ? `; known are ${Object.keys(checks).join(', ')}` : `; did you mean "${likely}"?`
}
