import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import leven from 'leven'
import { adviseOn } from './database-advice.js'
import { InvalidOptionError, UnknownOptionError } from './errors.js'
import type { Contact } from './rules/wire-schemas.js'
import { isPool, type PostgresPool } from './store/postgres/handle.js'
import { isOpenDatabase, type NodeSqliteDatabase, type SqliteDatabase } from './store/sqlite/handle.js'

/** The calling user. Your own users may have more members. */
export interface User {
  /** Identifies the user: roles and idempotency keys are stored under it. It is not empty. */
  id: string
}

/** The event that `beforeCommit` and `onContactUpdated` are called with. */
export interface ContactUpdatedEvent<U extends User = User> {
  /**
   * Identifies the update: 32 hexadecimal digits, different for each request. Both hooks get the same id, also if `beforeCommit` is
   * called again. The contact stores it as `update_id`.
   */
  readonly updateId: string
  /** The contact after the update, as the API shows it. */
  readonly contact: Contact
  /** The contact before the update. */
  readonly previous: Contact
  /** The keys of the contact whose values differ, except `_updatedAt`. Empty if the same values were stored before. */
  readonly changedFields: Array<keyof Contact>
  /** The caller: what `authenticate` returned, or else the user of the token, with `id`, `username` and `name`. */
  readonly user: U
  /** The request of the update. */
  readonly request: FastifyRequest
}

/**
 * The options of the plugin. Registration fails with {@link UnknownOptionError} or {@link InvalidOptionError} if one is wrong.
 *
 * @typeParam U the type of your own users, from `authenticate` to `authorize` and the events
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
  /** Your open better-sqlite3 `Database`, `DatabaseSync` of node:sqlite, or `pg.Pool`. The plugin never closes it. Required. */
  database: SqliteDatabase | NodeSqliteDatabase | PostgresPool
  /**
   * The path before `/omnichannel/contacts.update`.
   *
   * @default '/api/v1'
   */
  prefix?: string
  /**
   * `true` creates and updates the tables. `false` only checks them: run `fastify-omnichannel-contacts migrate` before, or the SQL
   * that it prints with `--print`.
   *
   * @default true
   */
  migrate?: boolean
  /**
   * Returns the caller. `null` or `undefined` means unknown: 401. An error with the `statusCode` 401 or 403 is answered with that
   * status. Any other error is answered with 500.
   *
   * @default the tokens in the database, by `X-User-Id` and `X-Auth-Token`
   */
  authenticate?: (request: FastifyRequest) => U | null | undefined | Promise<U | null | undefined>
  /**
   * Decides whether the user may update contacts. Anything but `true` is answered with 403. Errors are answered as those of
   * `authenticate`. The permission is `update-livechat-contact`.
   *
   * @default the roles in the database, by the user's `id`
   */
  authorize?: (user: U, permission: string, request: FastifyRequest) => boolean | Promise<boolean>
  /**
   * How many milliseconds a request waits for the database before the answer is 503. The look-up of the caller and the update each
   * have this time.
   *
   * @default 5000
   */
  lockTimeout?: number
  /**
   * The largest body, in bytes. A larger one is answered with 413. The default is 256 KiB.
   *
   * @default 262144
   */
  bodyLimit?: number
  /**
   * How many milliseconds an answer is stored for its `Idempotency-Key`. The default is 24 hours.
   *
   * @default 86400000
   */
  idempotencyWindow?: number
  /**
   * Called in the transaction, after the rows of an update are written, for example to write a history or an outbox.
   * On SQLite `connection` is your handle, and the hook must be synchronous: a promise rolls the update back.
   * On PostgreSQL `connection` is the client of the transaction, and the hook is awaited until `lockTimeout`.
   * It is called again if the transaction was rolled back and begins again.
   * If it throws {@link UpdateRefusedError}, the update is rolled back, and the answer is 400 with its text. After any other error the
   * update is rolled back, and the answer is 500.
   *
   * @default none
   */
  // `any`, so that a host can use the type of its driver.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  beforeCommit?: (event: ContactUpdatedEvent<U>, connection: any) => unknown
  /**
   * Called once after COMMIT of an update that has written. It is not awaited. Its errors are logged and change nothing.
   *
   * @default none
   */
  onContactUpdated?: (event: ContactUpdatedEvent<U>) => unknown
}

/**
 * The type of the plugin. `register` cannot infer the type of your users. If they have more members than {@link User}, name it:
 * `register(omnichannelContacts<Agent>, options)`.
 */
export interface OmnichannelContactsPlugin extends FastifyPluginAsync<OmnichannelContactsOptions> {
  <U extends User>(app: FastifyInstance, options: OmnichannelContactsOptions<U>): Promise<void>
}

/** The checked options, with defaults. Functions have no default. */
export type Settings = OmnichannelContactsOptions &
  Required<Pick<OmnichannelContactsOptions, 'prefix' | 'migrate' | 'lockTimeout' | 'bodyLimit' | 'idempotencyWindow'>>

type Check = [test: (value: unknown) => boolean, expected: string]

const func: Check = [(value) => typeof value === 'function', 'a function']
const checks: Record<string, Check> = {
  database: [(value) => isOpenDatabase(value) || isPool(value), 'an open better-sqlite3 database, a DatabaseSync of node:sqlite or a pg Pool'],
  prefix: [(value) => typeof value === 'string', 'a string'],
  migrate: [(value) => typeof value === 'boolean', 'a boolean'],
  authenticate: func,
  authorize: func,
  lockTimeout: [(value) => isInteger(value, 0, 2 ** 31 - 1), 'a whole number of milliseconds from 0 to 2147483647'],
  bodyLimit: [(value) => isInteger(value, 1, Number.MAX_SAFE_INTEGER), 'a whole number of bytes from 1'],
  idempotencyWindow: [(value) => isInteger(value, 1, 1e12), 'a whole number of milliseconds from 1 to 1000000000000'],
  beforeCommit: func,
  onContactUpdated: func
}
const optionsOfFastify = ['logLevel', 'logSerializers']

/**
 * Checks the options, and returns a new object with the defaults.
 *
 * @throws {InvalidOptionError | UnknownOptionError}
 */
export function checkOptions (options: OmnichannelContactsOptions): Settings {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(checks, name) && !optionsOfFastify.includes(name)) throw new UnknownOptionError(name, hint(name))
  }
  const checked: Record<string, unknown> = {}
  for (const [name, [test, expected]] of Object.entries(checks)) {
    const value: unknown = options[name as keyof OmnichannelContactsOptions]
    if (value === undefined && name !== 'database') continue
    if (!test(value)) throw new InvalidOptionError(name, name === 'database' ? expected + adviseOn(value) : expected)
    checked[name] = value
  }
  // Fastify itself puts a given prefix before the path, so the plugin adds only the default one.
  const prefix = options.prefix === undefined ? '/api/v1' : ''
  return { migrate: true, lockTimeout: 5000, bodyLimit: 256 * 1024, idempotencyWindow: 24 * 60 * 60 * 1000, ...checked, prefix } as Settings
}

function isInteger (value: unknown, from: number, to: number): boolean {
  return Number.isInteger(value) && Number(value) >= from && Number(value) <= to
}

function hint (name: string): string {
  const likely = Object.keys(checks).find((known) => leven(known.toLowerCase(), name.toLowerCase()) <= 2)
  return likely === undefined ? `; known are ${Object.keys(checks).join(', ')}` : `; did you mean "${likely}"?`
}
