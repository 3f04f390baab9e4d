import Database from 'better-sqlite3'
import fastify from 'fastify'
import { Kysely, SqliteDialect } from 'kysely'
import { readFileSync } from 'node:fs'
import pg from 'pg'
import t from 'tap'
import omnichannelContacts from '../src/index.js'
import { build } from './helpers/test-server.js'
import { openFile } from './helpers/sqlite-files.js'
import { invalid } from './helpers/refusals.js'
import { rejectionOf } from './helpers/registration.js'

function openAndClose (): Database.Database {
  const database = new Database(':memory:')
  database.close()
  return database
}

const expectedDatabase = 'an open better-sqlite3 database, a DatabaseSync of node:sqlite or a pg Pool'

function doNothing (): void { /* nothing */ }

/** An object that looks like a better-sqlite3 handle, with the `prepare` of another library. */
function fakeHandle (prepare: (sql: string) => unknown): object {
  return { open: true, inTransaction: false, readonly: false, pragma: doNothing, exec: doNothing, prepare }
}

/** A handle like that of better-sqlite3, but with `differences` in its statements. */
function fakeHandleWith (differences: object): object {
  const statement = { safeIntegers: () => statement, raw: () => statement, pluck: () => ({ get: () => 1 }), get: () => [1], ...differences }
  return fakeHandle(() => statement)
}

/** An object that looks like a DatabaseSync of node:sqlite. */
function fakeNodeSqlite (membersOfStatement: object): object {
  const statement = { setReadBigInts: doNothing, setReturnArrays: doNothing, ...membersOfStatement }
  return { [Symbol.for('sqlite-type')]: 'node:sqlite', isOpen: true, isTransaction: false, exec: doNothing, prepare: () => statement }
}

/** Rejects in the next turn of the event loop, as a library with promises may. */
async function rejectLater (): Promise<never> {
  await new Promise((resolve) => setImmediate(resolve))
  throw new Error('not awaited')
}

/** An object with these methods, by which the plugin recognises a library. */
function objectWith (...methods: string[]): object {
  return Object.fromEntries(methods.map((name) => [name, doNothing]))
}

t.test('a wrong value for database: refused with advice, and if it rejects later, the process goes on', async (t) => {
  const advice = 'open the file with better-sqlite3'
  const otherLibrary = `another library's database: ${advice}`
  const kysely = new Kysely({ dialect: new SqliteDialect({ database: openFile(t, ':memory:') }) })
  const ended = new pg.Pool()
  await ended.end()
  const cutsTexts = `a DatabaseSync of Node.js ${process.versions.node}, which reads a text only up to U+0000: use Node.js 24.16, 26.1 or later, or ${advice}`
  class DatabaseSync { prepare (): object { return {} } }
  const throwError = (): never => { throw new Error('of the library') }

  const scenarios: Array<[situation: string, value: unknown, description: string]> = [
    ['a path', 'contacts.db', `a string: ${advice}, or pass a Pool of the package pg`],
    ['a connection string', 'postgres://localhost', `a string: ${advice}, or pass a Pool of the package pg`],
    ['a promise of a handle', Promise.resolve(fakeHandleWith({})), 'a promise: await it first'],
    ['a promise that will reject', rejectLater(), 'a promise: await it first'],
    ['the class of better-sqlite3', Database, 'a function or a class: pass an open database or a Pool'],
    ['the class of a pool', pg.Pool, 'a function or a class: pass an open database or a Pool'],
    ['a function that returns a handle', () => new Database(':memory:'), 'a function or a class: pass an open database or a Pool'],
    ['a closed handle', openAndClose(), `a database that is not open: ${advice}`],
    ['sqlite3, while it opens', { ...objectWith('prepare', 'each', 'parallelize'), open: false }, `a database that is not open: ${advice}`],
    ['a Pool that has ended', ended, 'a Pool that has ended: pass a Pool of the package pg'],
    ['a Pool of pg-native', Object.assign(new pg.Pool(), { Client: { Query: Object } }), 'a Pool of pg-native: pass a Pool of the package pg without pg-native'],
    ['a single client', new pg.Client(), 'a single client: pass the Pool of the package pg'],
    ['Kysely', kysely, 'a Kysely instance: pass the handle or pool that it was made with'],
    ['Drizzle', { $client: {}, ...objectWith('select', 'run', 'all') }, 'a Drizzle database: pass the handle or pool that it was made with'],
    ['Knex', Object.assign(() => undefined, objectWith('queryBuilder', 'raw')), 'a Knex instance: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['TypeORM', objectWith('createQueryRunner', 'query'), 'a TypeORM data source: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['Sequelize', objectWith('getQueryInterface', 'query'), 'a Sequelize instance: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['Prisma', objectWith('$queryRaw', '$connect'), 'a Prisma client: open a better-sqlite3 database or a pg Pool for the plugin'],
    ['postgres.js', Object.assign(() => undefined, objectWith('unsafe')), 'a client of postgres.js: pass a Pool of the package pg'],
    ['PGlite', objectWith('execProtocolRaw', 'query'), 'a PGlite database: pass a Pool of the package pg, or a better-sqlite3 database'],
    ['@libsql/client', { ...objectWith('execute', 'executeMultiple'), closed: false }, `a client of @libsql/client: ${advice}`],
    ['node:sqlite of Node.js 22.5', new DatabaseSync(), cutsTexts],
    ['node:sqlite that cuts texts', fakeNodeSqlite({ get: () => ['a'] }), cutsTexts],
    ['node:sqlite that is closed', { ...fakeNodeSqlite({}), isOpen: false }, `a database that is not open: ${advice}`],
    ['node:sqlite that prepares later', { ...fakeNodeSqlite({}), prepare: rejectLater }, cutsTexts],
    ['node:sqlite without exec', { ...fakeNodeSqlite({}), exec: undefined }, cutsTexts],
    ['bun:sqlite', { inTransaction: false, ...objectWith('prepare', 'query', 'run', 'exec') }, otherLibrary],
    ['sqlite3', { ...objectWith('prepare', 'each', 'parallelize'), open: true }, otherLibrary],
    ['D1', objectWith('prepare', 'batch', 'exec', 'dump'), otherLibrary],
    ['libsql, whose pluck has no effect', fakeHandleWith({ pluck: () => ({ get: () => ({ 1: 1 }) }) }), otherLibrary],
    ['libsql/promise, which prepares later', fakeHandle(rejectLater), otherLibrary],
    ['@tursodatabase/database, which answers later', fakeHandleWith({ get: rejectLater }), otherLibrary],
    ['objects for rows', fakeHandleWith({ get: () => ({ 1: 1 }) }), otherLibrary],
    ['BigInt for integers', fakeHandleWith({ get: () => [1n] }), otherLibrary],
    ['a statement without methods', fakeHandle(() => ({})), otherLibrary],
    ['no statement', fakeHandle(() => undefined), otherLibrary],
    ['prepare throws', fakeHandle(throwError), otherLibrary],
    ['a method in place of a getter', { ...fakeHandleWith({}), inTransaction: () => false }, otherLibrary],
    ['without exec', { ...fakeHandleWith({}), exec: undefined }, otherLibrary],
    ['without pragma', { ...fakeHandleWith({}), pragma: undefined }, otherLibrary],
    ['a getter that throws', { get open () { return throwError() } }, ''],
    ['a Proxy that throws', new Proxy({}, { get: throwError }), ''],
    ['an object', {}, ''],
    ['a number', 5, '']
  ]
  for (const [situation, database, description] of scenarios) {
    t.strictSame(await rejectionOf({ database }), {
      code: 'FOC_INVALID_OPTION',
      message: `The option "database" must be ${expectedDatabase}${description === '' ? '' : `; this is ${description}`}`,
      isTypeError: true
    }, situation)
  }
  // By now the promises above have rejected.
  await rejectLater().catch(() => undefined)
})

t.test('a DatabaseSync that reads a text only up to U+0000: refused', async (t) => {
  class DatabaseSync {
    prepare (): object { return { get: () => ({ text: 'a' }) } }
    close (): void { /* nothing */ }
  }
  t.capture(process, 'getBuiltinModule', () => ({ DatabaseSync }))
  const rejection = await rejectionOf({ database: fakeNodeSqlite({ get: () => [0] }) })
  t.match(rejection, { code: 'FOC_INVALID_OPTION', message: /which reads a text only up to U\+0000/ })
})

t.test('a handle behind a Proxy: accepted, after its statements were checked once', async (t) => {
  const database = openFile(t, ':memory:')
  await rejectionOf({ database })
  const preparedSql: string[] = []
  const prepare = (sql: string): unknown => {
    preparedSql.push(sql)
    return database.prepare(sql)
  }
  const proxy = new Proxy(database, { get: (target, name) => name === 'prepare' ? prepare : Reflect.get(target, name) })
  t.equal(await rejectionOf({ database: proxy, migrate: false }), undefined)
  // The statement that checks what kind of handle it is.
  t.strictSame(preparedSql.filter((sql) => sql === 'PRAGMA foreign_keys'), ['PRAGMA foreign_keys'])
})

t.test('a handle with an open iterator: accepted once the iterator is closed', async (t) => {
  const database = openFile(t, ':memory:')
  const rows = database.prepare('SELECT 1').iterate()
  rows.next()
  const registered = rejectionOf({ database })
  await new Promise((resolve) => setImmediate(resolve))
  rows.return?.()
  t.equal(await registered, undefined)
})

t.test('an option of the wrong type: the registration is rejected, and the error names the option', async (t) => {
  /** What each option must be, as the error says. */
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
  const wrongValues: Array<[name: keyof typeof expected, value: unknown]> = [
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
  for (const [name, value] of wrongValues) {
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
  const names = [
    'prefix', 'migrate', 'authenticate', 'authorize', 'lockTimeout', 'bodyLimit', 'idempotencyWindow', 'beforeCommit', 'onContactUpdated'
  ]
  const undefinedOptions = Object.fromEntries(names.map((name) => [name, undefined]))
  t.equal(await rejectionOf({ database: openFile(t), ...undefinedOptions }), undefined)
  t.equal(await rejectionOf({ database: openFile(t), logLevel: 'warn', logSerializers: { user: String } }), undefined)
})

t.test('logLevel: applies to the route only', async (t) => {
  const lines: string[] = []
  const server = { logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } }
  // Spread, because the type of the options does not have Fastify's own.
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
