import Database from 'better-sqlite3'
import fastify from 'fastify'
import { Kysely, SqliteDialect } from 'kysely'
import { readFileSync } from 'node:fs'
import pg from 'pg'
import t from 'tap'
import omnichannelContacts from '../src/index.js'
import { build } from './helpers/build.js'
import { openFile } from './helpers/files.js'
import { invalid } from './helpers/refusals.js'
import { rejectionOf } from './helpers/registration.js'

function closed (): Database.Database {
  const database = new Database(':memory:')
  database.close()
  return database
}

const expectedDatabase = 'an open better-sqlite3 database, a DatabaseSync of node:sqlite or a pg Pool'

/** An object that looks like a better-sqlite3 handle, with the `prepare` of another library. */
function like (prepare: (sql: string) => unknown): object {
  return { open: true, inTransaction: false, readonly: false, pragma () { /* not asked */ }, exec () { /* not asked */ }, prepare }
}

/** A statement like that of better-sqlite3, with overrides. */
function statement (overrides: object): object {
  const fluent = { safeIntegers: () => fluent, raw: () => fluent, pluck: () => ({ get: () => 1 }), get: () => [1], ...overrides }
  return fluent
}

/** An object that looks like a DatabaseSync of node:sqlite. */
function likeNodeSqlite (statement: object): object {
  const prepare = (): object => ({ setReadBigInts () { /* always off */ }, setReturnArrays () { /* always on */ }, ...statement })
  return { [Symbol.for('sqlite-type')]: 'node:sqlite', isOpen: true, isTransaction: false, exec () { /* not asked */ }, prepare }
}

/** Rejects in the next turn of the event loop, as a library with promises does. */
async function late (): Promise<never> {
  await new Promise((resolve) => setImmediate(resolve))
  throw new Error('not awaited')
}

function member (...names: string[]): object {
  return Object.fromEntries(names.map((name) => [name, () => undefined]))
}

t.test('a wrong value for database: refused with advice, and its later rejection does not end the process', async (t) => {
  const open = 'open the file with better-sqlite3'
  const other = `another library's database: ${open}`
  const kysely = new Kysely({ dialect: new SqliteDialect({ database: openFile(t, ':memory:') }) })
  const ended = new pg.Pool()
  await ended.end()
  const cutting = `a DatabaseSync of Node.js ${process.versions.node}, which reads a text only up to U+0000: use Node.js 24.16, 26.1 or later, or ${open}`
  class DatabaseSync { prepare (): object { return {} } }
  const throwing = (): never => { throw new Error('do not touch') }

  const scenarios: Array<[situation: string, value: unknown, advice: string]> = [
    ['a path', 'contacts.db', `a string: ${open}, or pass a Pool of the package pg`],
    ['a connection string', 'postgres://localhost', `a string: ${open}, or pass a Pool of the package pg`],
    ['a promise of a handle', Promise.resolve(like(() => statement({}))), 'a promise: await it first'],
    ['a promise that will reject', late(), 'a promise: await it first'],
    ['the class of better-sqlite3', Database, 'a function or a class: pass an open database or a Pool'],
    ['the class of a pool', pg.Pool, 'a function or a class: pass an open database or a Pool'],
    ['a function that returns a handle', () => new Database(':memory:'), 'a function or a class: pass an open database or a Pool'],
    ['a closed handle', closed(), `a database that is not open: ${open}`],
    ['sqlite3, while it opens', { ...member('prepare', 'each', 'parallelize'), open: false }, `a database that is not open: ${open}`],
    ['a Pool that has ended', ended, 'a Pool that has ended: pass a Pool of the package pg'],
    ['a Pool of pg-native', Object.assign(new pg.Pool(), { Client: { Query: Object } }), 'a Pool of pg-native: pass a Pool of the package pg without pg-native'],
    ['a single client', new pg.Client(), 'a single client: pass the Pool of the package pg'],
    ['Kysely', kysely, 'a Kysely instance: pass the handle or pool that it was made with'],
    ['Drizzle', { $client: {}, ...member('select', 'run', 'all') }, 'a Drizzle database: pass the handle or pool that it was made with'],
    ['Knex', Object.assign(() => undefined, member('queryBuilder', 'raw')), 'a Knex instance: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['TypeORM', member('createQueryRunner', 'query'), 'a TypeORM data source: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['Sequelize', member('getQueryInterface', 'query'), 'a Sequelize instance: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['Prisma', member('$queryRaw', '$connect'), 'a Prisma client: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['postgres.js', Object.assign(() => undefined, member('unsafe')), 'a client of postgres.js: pass a Pool of the package pg'],
    ['PGlite', member('execProtocolRaw', 'query'), 'a PGlite database: pass a Pool of the package pg, or a better-sqlite3 database'],
    ['@libsql/client', { ...member('execute', 'executeMultiple'), closed: false }, `a client of @libsql/client: ${open}`],
    ['node:sqlite of Node.js 22.5', new DatabaseSync(), cutting],
    ['node:sqlite that cuts texts', likeNodeSqlite({ get: () => ['a'] }), cutting],
    ['node:sqlite that is closed', { ...likeNodeSqlite({}), isOpen: false }, `a database that is not open: ${open}`],
    ['node:sqlite that prepares later', { ...likeNodeSqlite({}), prepare: late }, cutting],
    ['node:sqlite without exec', { ...likeNodeSqlite({}), exec: undefined }, cutting],
    ['bun:sqlite', { inTransaction: false, ...member('prepare', 'query', 'run', 'exec') }, other],
    ['sqlite3', { ...member('prepare', 'each', 'parallelize'), open: true }, other],
    ['D1', member('prepare', 'batch', 'exec', 'dump'), other],
    ['libsql, whose statements have no pluck', like(() => statement({ pluck: () => ({ get: () => ({ 1: 1 }) }) })), other],
    ['libsql/promise, which prepares later', like(late), other],
    ['@tursodatabase/database, which answers later', like(() => statement({ get: late })), other],
    ['objects for rows', like(() => statement({ get: () => ({ 1: 1 }) })), other],
    ['BigInt for integers', like(() => statement({ get: () => [1n] })), other],
    ['a statement without methods', like(() => ({})), other],
    ['no statement', like(() => undefined), other],
    ['prepare throws', like(throwing), other],
    ['another type in a getter', { ...like(() => statement({})), inTransaction: () => false }, other],
    ['without exec', { ...like(() => statement({})), exec: undefined }, other],
    ['without pragma', { ...like(() => statement({})), pragma: undefined }, other],
    ['a getter that throws', { get open () { return throwing() } }, ''],
    ['a Proxy that throws', new Proxy({}, { get: throwing }), ''],
    ['an object', {}, ''],
    ['a number', 5, '']
  ]
  for (const [situation, database, advice] of scenarios) {
    t.strictSame(await rejectionOf({ database }), {
      code: 'FOC_INVALID_OPTION',
      message: `The option "database" must be ${expectedDatabase}${advice === '' ? '' : `; this is ${advice}`}`,
      isTypeError: true
    }, situation)
  }
  await late().catch(() => undefined)
})

t.test('a DatabaseSync that reads a text only up to U+0000: refused', async (t) => {
  class DatabaseSync {
    prepare (): object { return { get: () => ({ text: 'a' }) } }
    close (): void { /* nothing to close */ }
  }
  t.capture(process, 'getBuiltinModule', () => ({ DatabaseSync }))
  const refused = await rejectionOf({ database: likeNodeSqlite({ get: () => [0] }) })
  t.match(refused, { code: 'FOC_INVALID_OPTION', message: /which reads a text only up to U\+0000/ })
})

t.test('a handle behind a Proxy, or one with an open iterator: accepted, after a single probe', async (t) => {
  const database = openFile(t, ':memory:')
  await rejectionOf({ database })
  const prepared: unknown[] = []
  const proxy = new Proxy(database, {
    get: (target, name) => name !== 'prepare' ? Reflect.get(target, name) : (sql: string) => {
      prepared.push(sql)
      return target.prepare(sql)
    }
  })
  t.equal(await rejectionOf({ database: proxy, migrate: false }), undefined)
  const probes = prepared.filter((sql) => /^PRAGMA foreign_keys$/.test(String(sql)))
  t.equal(probes.length, 1)

  const iterating = openFile(t, ':memory:')
  const rows = iterating.prepare('SELECT 1').iterate()
  rows.next()
  const registered = rejectionOf({ database: iterating })
  await new Promise((resolve) => setImmediate(resolve))
  rows.return?.()
  t.equal(await registered, undefined)
})

t.test('an option of the wrong type: the registration is rejected, and the error names the option', async (t) => {
  const expected = {
    database: expectedDatabase,
    prefix: 'a string',
    migrate: 'a boolean',
    authenticate: 'a function',
    authorize: 'a function',
    lockTimeout: 'a whole number of milliseconds from 0 to 2147483647',
    bodyLimit: 'a whole number of bytes from 1',
    idempotencyWindow: 'a whole number of milliseconds from 1 to 1000000000000',
    beforeCommit: 'a function',
    onContactUpdated: 'a function'
  }
  const wrong: Array<[name: keyof typeof expected, value: unknown]> = [
    ['database', undefined], ['database', null], ['database', {}],
    ['prefix', null], ['prefix', 0], ['prefix', 5], ['prefix', ['/api']], ['prefix', {}],
    ['migrate', null], ['migrate', 'false'], ['migrate', 1],
    ['authenticate', null], ['authenticate', 'token'], ['authenticate', {}],
    ['authorize', null], ['authorize', true], ['authorize', ['admin']],
    ['lockTimeout', null], ['lockTimeout', '5000'], ['lockTimeout', -1], ['lockTimeout', 0.5], ['lockTimeout', NaN],
    ['lockTimeout', Infinity], ['lockTimeout', 2 ** 31],
    ['bodyLimit', null], ['bodyLimit', '1kb'], ['bodyLimit', 0], ['bodyLimit', -1], ['bodyLimit', 1.5], ['bodyLimit', Infinity],
    ['idempotencyWindow', null], ['idempotencyWindow', '24h'], ['idempotencyWindow', 0], ['idempotencyWindow', -1],
    ['idempotencyWindow', 1.5], ['idempotencyWindow', Infinity], ['idempotencyWindow', 1e12 + 1],
    ['beforeCommit', null], ['beforeCommit', 'check'], ['beforeCommit', {}],
    ['onContactUpdated', null], ['onContactUpdated', 'log'], ['onContactUpdated', {}]
  ]
  for (const [name, value] of wrong) {
    const database = openFile(t)
    t.strictSame(await rejectionOf({ database, [name]: value }), {
      code: 'FOC_INVALID_OPTION', message: `The option "${name}" must be ${expected[name]}`, isTypeError: true
    }, `${name}: ${value}`)
    t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), [], 'nothing was created')
  }
})

t.test('an unknown option: the registration is rejected, with a hint if the name is similar to a known one', async (t) => {
  const known = 'database, prefix, migrate, authenticate, authorize, lockTimeout, bodyLimit, idempotencyWindow, beforeCommit, onContactUpdated'
  const hints = {
    lockTimout: '; did you mean "lockTimeout"?',
    locktimeout: '; did you mean "lockTimeout"?',
    authenticated: '; did you mean "authenticate"?',
    authorise: '; did you mean "authorize"?',
    onContactUpdate: '; did you mean "onContactUpdated"?',
    db: `; known are ${known}`,
    colour: `; known are ${known}`,
    constructor: `; known are ${known}`
  }
  for (const [name, hint] of Object.entries(hints)) {
    const database = openFile(t)
    t.strictSame(await rejectionOf({ database, [name]: 1 }), {
      code: 'FOC_UNKNOWN_OPTION', message: `Unknown option "${name}"${hint}`, isTypeError: true
    }, name)
    t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), [], 'nothing was created')
  }
})

t.test('no options at all: the error names the option database', async (t) => {
  t.match(await rejectionOf(undefined), { code: 'FOC_INVALID_OPTION', message: 'The option "database" must be an open better-sqlite3 database' })
})

t.test("undefined options and Fastify's own options: accepted", async (t) => {
  const undefinedOptions = Object.fromEntries(
    ['prefix', 'migrate', 'authenticate', 'authorize', 'lockTimeout', 'bodyLimit', 'idempotencyWindow', 'beforeCommit', 'onContactUpdated'].map((name) => [name, undefined]))
  t.equal(await rejectionOf({ database: openFile(t), ...undefinedOptions }), undefined)
  t.equal(await rejectionOf({ database: openFile(t), logLevel: 'warn', logSerializers: { user: String } }), undefined)
})

t.test('logLevel: applies to the route only', async (t) => {
  const lines: string[] = []
  const server = { logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } }
  const { app, update } = await build(t, { ...{ logLevel: 'error' }, server, host: (app) => { app.get('/own', async () => 'own') } })
  lines.length = 0
  await update({ contactId: 'maria' })
  t.strictSame(lines, [])
  await app.inject('/own')
  t.equal(lines.length, 2)
})

t.test('bodyLimit: 256 KiB by default, and the 413 names the limit', async (t) => {
  const limits: Array<[options: { bodyLimit?: number }, bytes: number]> = [[{}, 262144], [{ bodyLimit: 100 }, 100]]
  for (const [options, bytes] of limits) {
    const { post } = await build(t, options)
    t.equal((await post('{"contactId":"maria"}'.padEnd(bytes))).statusCode, 200, `${bytes} bytes are read`)
    for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
      const refusal = await post('{"contactId":"maria"}'.padEnd(bytes + 1), { 'content-type': type })
      t.strictSame([refusal.statusCode, refusal.json()], [413, invalid(`The request body is larger than ${bytes} bytes`)], type)
    }
  }
})

t.test('an older Fastify than the peer dependency: refused', async (t) => {
  const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { peerDependencies: { fastify: string } }
  const app = fastify()
  t.teardown(async () => { await app.close() })
  Object.defineProperty(app, 'version', { value: '5.1.0' })
  await t.rejects(async () => await app.register(omnichannelContacts, { database: openFile(t, ':memory:') }), {
    code: 'FST_ERR_PLUGIN_VERSION_MISMATCH',
    message: `fastify-plugin: fastify-omnichannel-contacts - expected '${peerDependencies.fastify}' fastify version, '5.1.0' is installed`
  })
})
