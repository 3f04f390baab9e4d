import Database from 'better-sqlite3'
import fastify from 'fastify'
import { Kysely, SqliteDialect } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import omnichannelContacts from '../src/index.js'
import { as, build, path } from './build.js'
import { openFile } from './files.js'

async function rejection (t: Test, options: unknown): Promise<{ code: string, message: string, isTypeError: boolean } | undefined> {
  const app = fastify()
  t.teardown(async () => { await app.close() })
  try {
    await app.register(omnichannelContacts, options as never)
  } catch (error) {
    const { code, message } = error as Error & { code: string }
    return { code, message, isTypeError: error instanceof TypeError }
  }
  return undefined
}

function open (t: Test): Database.Database {
  const database = openFile(t, ':memory:')
  return database
}

function closed (): Database.Database {
  const database = new Database(':memory:')
  database.close()
  return database
}

t.test("another library's object for the database: the advice names what to pass", async (t) => {
  const kysely = new Kysely({ dialect: new SqliteDialect({ database: open(t) }) })
  const advice: Array<[value: unknown, advice: string]> = [
    [kysely, '; this is a Kysely instance: pass the handle or pool that it was made with'],
    [Object.assign(() => undefined, { unsafe () { /* postgres.js */ } }), '; this is a client of postgres.js: pass a Pool of the package pg'],
    [{ execProtocolRaw () { /* PGlite */ }, query () { /* PGlite */ } }, '; this is a PGlite database: pass a Pool of the package pg, or a better-sqlite3 database'],
    [new pg.Client(), '; this is a single client: pass the Pool of the package pg']
  ]
  for (const [database, ending] of advice) {
    t.equal((await rejection(t, { database }))?.message, `The option "database" must be an open better-sqlite3 database or a pg Pool${ending}`)
  }
})

t.test('an option of the wrong type rejects the registration and is named', async (t) => {
  const expected = {
    database: 'an open better-sqlite3 database or a pg Pool',
    prefix: 'a string',
    migrate: 'a boolean',
    authenticate: 'a function',
    authorize: 'a function',
    lockTimeout: 'a number of milliseconds, a whole one from 0 to 2147483647',
    bodyLimit: 'a number of bytes, a whole one from 1',
    idempotencyWindow: 'a number of milliseconds, a whole one from 1 to 1000000000000',
    beforeCommit: 'a function',
    onContactUpdated: 'a function'
  }
  const wrong: Array<[name: keyof typeof expected, value: unknown]> = [
    ['database', undefined], ['database', null], ['database', 'contacts.db'], ['database', {}], ['database', closed()],
    ['database', { open: true, inTransaction: false, prepare () { /* no pragma, no exec */ } }],
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
    const database = open(t)
    t.strictSame(await rejection(t, { database, [name]: value }), {
      code: 'FOC_INVALID_OPTION', message: `The option "${name}" must be ${expected[name]}`, isTypeError: true
    }, `${name}: ${value}`)
    t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), [], 'nothing was created')
  }
})

t.test('an option that is not known rejects the registration, with a hint where one is likely', async (t) => {
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
    const database = open(t)
    t.strictSame(await rejection(t, { database, [name]: 1 }), {
      code: 'FOC_UNKNOWN_OPTION', message: `Unknown option "${name}"${hint}`, isTypeError: true
    }, name)
    t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), [], 'nothing was created')
  }
})

t.test('no options at all: the database is asked for', async (t) => {
  t.match(await rejection(t, undefined), { code: 'FOC_INVALID_OPTION', message: 'The option "database" must be an open better-sqlite3 database' })
})

t.test("options that are undefined count as absent, and Fastify's own pass", async (t) => {
  const undefinedOptions = Object.fromEntries(
    ['prefix', 'migrate', 'authenticate', 'authorize', 'lockTimeout', 'bodyLimit', 'idempotencyWindow', 'beforeCommit', 'onContactUpdated'].map((name) => [name, undefined]))
  t.equal(await rejection(t, { database: open(t), ...undefinedOptions }), undefined)
  t.equal(await rejection(t, { database: open(t), logLevel: 'warn', logSerializers: { user: String } }), undefined)
})

t.test('logLevel: holds for the route only', async (t) => {
  const lines: string[] = []
  const server = { logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } }
  const { app, update } = await build(t, { ...{ logLevel: 'error' }, server, host: (app) => { app.get('/own', async () => 'own') } })
  lines.length = 0
  await update({ contactId: 'maria' })
  t.strictSame(lines, [])
  await app.inject('/own')
  t.equal(lines.length, 2)
})

t.test('bodyLimit: 256 KiB by default, else what was said; the answer names it', async (t) => {
  const limits: Array<[options: { bodyLimit?: number }, bytes: number]> = [[{}, 262144], [{ bodyLimit: 100 }, 100]]
  for (const [options, bytes] of limits) {
    const { app } = await build(t, options)
    const post = (length: number) => app.inject({
      method: 'POST', url: path, headers: { ...as('ann'), 'content-type': 'application/json' }, payload: '{"contactId":"maria"}'.padEnd(length)
    })
    t.equal((await post(bytes)).statusCode, 200, `${bytes} bytes are read`)
    const refusal = await post(bytes + 1)
    t.equal(refusal.statusCode, 413, `${bytes + 1} are too many`)
    t.strictSame(refusal.json(), {
      success: false, error: `The request body is larger than ${bytes} bytes [invalid-params]`, errorType: 'invalid-params'
    })
  }
})
