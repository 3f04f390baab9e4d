import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import leven from 'leven'
import { adviseOn } from './database-advice.js'
import { InvalidOptionError, UnknownOptionError } from './errors.js'
import type { Contact } from './rules/wire-schemas.js'
import { isPool, type PostgresPool } from './store/postgres/handle.js'
import { isOpenDatabase, type SqliteDatabase } from './store/sqlite/handle.js'

/** The calling user: what `authenticate` returns, with whatever else a host's own users have. */
export interface User {
  /** What the user's roles and idempotency keys are stored under; never empty. */
  id: string
}

/** What `beforeCommit` and `onContactUpdated` are told of an update. */
export interface ContactUpdatedEvent<U extends User = User> {
  /**
   * Identifies the update: 32 hexadecimal digits, different for each request. Both hooks get the same one, and so does a second call of
   * `beforeCommit`. It is stored as `update_id` of the contact.
   */
  updateId: string
  /** The contact as it is now, and as the caller sees it. */
  contact: Contact
  /** The contact as it was. */
  previous: Contact
  /** The keys of the contact whose value differs, `_updatedAt` left out; empty where everything sent was stored already. */
  changedFields: Array<keyof Contact>
  /** Who made the update: the object that `authenticate` returned, or else the `id` of whose token it was. */
  user: U
  /** The request that asked for the update. */
  request: FastifyRequest
}

/**
 * What the plugin is registered with. An option that does not exist, or one of the wrong type, rejects the registration.
 *
 * @typeParam U the host's own users, from `authenticate` to `authorize` and the events
 *
 * @example
 * ```ts
 * interface Agent extends User { team: string }
 *
 * const options: OmnichannelContactsOptions<Agent> = {
 *   database,
 *   authenticate: ({ headers }) => sessions.get(headers.cookie),
 *   authorize: (agent) => agent.team === 'desk'
 * }
 * await app.register(omnichannelContacts<Agent>, options)
 * ```
 */
export interface OmnichannelContactsOptions<U extends User = User> {
  /** The host's open better-sqlite3 handle, or its `pg.Pool`. The plugin never closes it. Required. */
  database: SqliteDatabase | PostgresPool
  /**
   * Path in front of `/omnichannel/contacts.update`.
   *
   * @default '/api/v1'
   */
  prefix?: string
  /**
   * `true` brings the tables up to date; `false` only checks that all is there. Then the command `fastify-omnichannel-contacts
   * migrate` does it, or the SQL that it prints with `--print`.
   *
   * @default true
   */
  migrate?: boolean
  /**
   * Who is calling? For nobody, `null` or `undefined`, the answer is 401. An error with the `statusCode` 401 or 403 is answered
   * with that, any other with 500.
   *
   * @default the tokens in the database, by `X-User-Id` and `X-Auth-Token`
   */
  authenticate?: (request: FastifyRequest) => U | null | undefined | Promise<U | null | undefined>
  /**
   * May this user do it? Anything but `true` is answered with 403, and errors as those of `authenticate`. The permission is
   * `update-livechat-contact`.
   *
   * @default the roles in the database, by the user's `id`
   */
  authorize?: (user: U, permission: string, request: FastifyRequest) => boolean | Promise<boolean>
  /**
   * Milliseconds that the look-up of the caller, and then the update, may wait for the database before the answer is 503.
   *
   * @default 5000
   */
  lockTimeout?: number
  /**
   * Bytes of the largest body that is read: 256 KiB unless you say otherwise. A larger one is answered with 413.
   *
   * @default 262144
   */
  bodyLimit?: number
  /**
   * Milliseconds that an answer is remembered for its `Idempotency-Key`: 24 hours unless you say otherwise.
   *
   * @default 86400000
   */
  idempotencyWindow?: number
  /**
   * Called inside the transaction, after the rows of an update are written. On SQLite `connection` is the host's own handle, and the
   * hook must be synchronous: a promise rolls the update back. On PostgreSQL `connection` is the client that is in the transaction,
   * and the hook is awaited, until `lockTimeout` at most. It is called again only if the transaction was rolled back and has to be
   * begun again.
   * Throwing {@link UpdateRefusedError} rolls the update back and answers 400 with its text. Throwing anything else rolls it back
   * and answers 500.
   *
   * @default none
   */
  // Not narrower, so that a host gives it the type that its own driver has for it.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  beforeCommit?: (event: ContactUpdatedEvent<U>, connection: any) => unknown
  /**
   * Called after COMMIT, once for each update that wrote. Not awaited; what it throws is logged and changes nothing.
   *
   * @default none
   */
  onContactUpdated?: (event: ContactUpdatedEvent<U>) => unknown
}

/**
 * What `register` takes. It reads the options with a plain {@link User}, because it cannot infer a type parameter of a plugin; where the
 * host's users have more, name their type: `register(omnichannelContacts<Agent>, options)`.
 */
export interface OmnichannelContactsPlugin extends FastifyPluginAsync<OmnichannelContactsOptions> {
  <U extends User>(app: FastifyInstance, options: OmnichannelContactsOptions<U>): Promise<void>
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
    if (!test(value)) throw new InvalidOptionError(name, name === 'database' ? expected + adviseOn(value) : expected)
    given[name] = value
  }
  return { migrate: true, lockTimeout: 5000, bodyLimit: 256 * 1024, idempotencyWindow: 24 * 60 * 60 * 1000, ...given, prefix: options.prefix === undefined ? '/api/v1' : '' } as Settings
}

function isInteger (value: unknown, from: number, to: number): boolean {
  return Number.isInteger(value) && Number(value) >= from && Number(value) <= to
}

function hint (name: string): string {
  const likely = Object.keys(checks).find((known) => leven(known.toLowerCase(), name.toLowerCase()) <= 2)
  return likely === undefined ? `; known are ${Object.keys(checks).join(', ')}` : `; did you mean "${likely}"?`
}
