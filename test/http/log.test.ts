// The log: each 500 and 503 has one line with its cause and its code. If the database was busy, the line names the obstacle.

import type { FastifyReply } from 'fastify'
import { join } from 'node:path'
import type { Pool, PoolClient } from 'pg'
import type { Test } from 'tap'
import { DatabaseBusyError, type Obstacle } from '../../src/index.js'
import { build, lockMaria, type Setup, type TestServer } from '../helpers/test-server.js'
import t, { engineOf, postgres, sqlite } from '../helpers/engines.js'
import { openFile } from '../helpers/sqlite-files.js'
import { openHandle } from '../helpers/open-handle.js'
import { observe, type Line } from '../helpers/observed-server.js'
import { busy } from '../helpers/refusals.js'
import { hostUsers, nameOfMaria } from '../helpers/waiting.js'
import { openProxy, type Fault, type Injection } from '../store/explorer/proxy.js'

// pino's numbers of the levels.
const WARN = 40
const ERROR = 50

const loggerThatFails = { logger: { level: 'warn', stream: { write: () => { throw new Error('no space left') } } } }

interface Situation {
  setup?: Setup
  /** Runs before the update. */
  prepare?: (testServer: TestServer) => unknown
  body?: object
}

/** The status of one update, and its warnings and errors in the log. */
async function updateIn (t: Test, { setup, prepare, body = { name: 'A' } }: Situation): Promise<{ statusCode: number, warnings: Line[] }> {
  const testServer = await observe(t, { ...hostUsers, lockTimeout: 500, ...setup })
  await prepare?.(testServer)
  const { statusCode } = await testServer.update({ contactId: 'maria', ...body })
  return { statusCode, warnings: testServer.warnings() }
}

/** Checks that an update gets 503, and that the one line in the log has this obstacle and cause. */
async function checkBusy (t: Test, situation: Situation, { obstacle, cause }: { obstacle: Obstacle, cause: RegExp }): Promise<void> {
  const { statusCode, warnings } = await updateIn(t, situation)
  t.equal(statusCode, 503)
  const msg = 'contacts.update gave up waiting for the database'
  t.match(warnings, [{ level: WARN, msg, code: 'FOC_DATABASE_BUSY', obstacle, err: { message: cause } }])
  t.equal(warnings.length, 1)
}

sqlite.test('a DatabaseBusyError made by the host: has the message, and no obstacle', async (t) => {
  for (const [error, cause] of [[new DatabaseBusyError(), undefined], [new DatabaseBusyError({ cause: 'of the host' }), 'of the host']] as const) {
    t.strictSame([error.message, error.obstacle, error.cause], ['error-database-busy', undefined, cause])
  }
})

sqlite.test('the host has a transaction on the handle: one line with the obstacle host-transaction', async (t) => {
  const prepare = async ({ db }: TestServer): Promise<void> => { await lockMaria(db) }
  await checkBusy(t, { prepare }, { obstacle: 'host-transaction', cause: /the host has a transaction on the handle/ })
})

sqlite.test('another connection has locked the file: one line with the obstacle other-connection', async (t) => {
  const file = join(t.testdir(), 'contacts.db')
  const otherConnection = openFile(t, file)
  const prepare = (): void => { otherConnection.exec('BEGIN IMMEDIATE') }
  await checkBusy(t, { setup: { database: openHandle(file) }, prepare }, { obstacle: 'other-connection', cause: /database is locked/ })
})

sqlite.test('the host has an open iterator: one line with the obstacle host-iterator', async (t) => {
  let rows!: IterableIterator<unknown>
  const prepare = ({ database }: TestServer): void => {
    rows = database.prepare('SELECT id FROM omnichannel_user').iterate()
    rows.next()
  }
  await checkBusy(t, { prepare }, { obstacle: 'host-iterator', cause: /busy executing a query/ })
  rows.return?.()
})

/** Often enough for all attempts of an update. */
const always = { times: 1000 }
/** An error with this SQLSTATE. */
const errorOfServer = (sqlState: string): Fault => ({ do: 'refuse', fields: { C: sqlState } })

/** Faults of the server or of a pooler, and the obstacle that the log names. */
const faults: Record<string, { injection: Injection, obstacle: Obstacle, cause: RegExp }> = {
  'an unreachable server': {
    injection: { at: /^connect$/, fault: { do: 'cut-before' }, ...always }, obstacle: 'server-away', cause: /terminated|ECONN|EPIPE/
  },
  'a server that does not answer': {
    injection: { at: /^connect$/, fault: { do: 'hold-before' }, ...always }, obstacle: 'server-away', cause: /was connected in time|terminated/
  },
  'a server that stops': {
    injection: { at: /^BEGIN/, fault: errorOfServer('57P01'), ...always }, obstacle: 'server-away', cause: /refused/
  },
  'a server without a free connection': {
    injection: { at: /^connect$/, fault: errorOfServer('53300'), ...always }, obstacle: 'full-server', cause: /refused/
  },
  'prepared statements that a pooler has dropped': {
    injection: { at: /^BEGIN/, fault: errorOfServer('26000'), ...always }, obstacle: 'host-client', cause: /refused/
  }
}

for (const [name, { injection, ...expected }] of Object.entries(faults)) {
  postgres.test(`${name}: one line with the obstacle ${expected.obstacle}`, async (t) => {
    const proxy = await openProxy()
    t.teardown(proxy.close)
    const prepare = async ({ database }: TestServer): Promise<void> => {
      // Ends the clients that are connected already, so that the update has to connect.
      const pool = database as unknown as Pool
      const clients = await Promise.all(Array.from({ length: 3 }, async () => await pool.connect()))
      for (const client of clients) client.release(true)
      proxy.plan.begin([injection])
    }
    await checkBusy(t, { setup: { pool: { host: proxy.host, max: 3 } }, prepare }, expected)
    proxy.plan.begin([])
  })
}

for (const [name, { setup, cause }] of Object.entries({
  'the host has all clients of the pool': { setup: { pool: { max: 1 } }, cause: /no client of the pool was free/ },
  "the host has all clients, and the pool's own timeout is shorter": {
    setup: { lockTimeout: 1000, pool: { max: 1, connectionTimeoutMillis: 10 } }, cause: /timeout exceeded/
  }
})) {
  postgres.test(`${name}: one line with the obstacle full-pool`, async (t) => {
    let client!: PoolClient
    const prepare = async ({ database }: TestServer): Promise<void> => { client = await (database as unknown as Pool).connect() }
    await checkBusy(t, { setup, prepare }, { obstacle: 'full-pool', cause })
    client.release()
  })
}

postgres.test('another transaction has locked the contact: one line with the obstacle other-transaction', async (t) => {
  const prepare = async ({ db }: TestServer): Promise<void> => { await lockMaria(db) }
  await checkBusy(t, { prepare }, { obstacle: 'other-transaction', cause: /statement timeout/ })
})

postgres.test('the server is a standby: one line with the obstacle read-only-server', async (t) => {
  const prepare = async ({ db }: TestServer): Promise<void> => await db.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'a standby' USING ERRCODE = 'read_only_sql_transaction'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION refuse()`)
  await checkBusy(t, { prepare }, { obstacle: 'read-only-server', cause: /a standby/ })
})

postgres.test('a connection is refused, and the next attempt gets no client in time: the line names the refusal', async (t) => {
  const prepare = async ({ database }: TestServer): Promise<void> => {
    const refusal = Object.assign(new Error('too many clients'), { code: '53300' })
    let isFirst = true
    const connect = (callback: (error: Error) => void): void => {
      if (isFirst) callback(refusal)
      isFirst = false
    }
    t.intercept(database as unknown as Pool, 'connect', { value: connect })
  }
  await checkBusy(t, { prepare }, { obstacle: 'full-server', cause: /too many clients/ })
})

t.test('an error of the database: one line with its cause and code', async (t) => {
  const prepare = async ({ db }: TestServer): Promise<void> => { await db.refuseUpdates('omnichannel_contact', 'the trigger says no') }
  const { statusCode, warnings } = await updateIn(t, { prepare })
  t.equal(statusCode, 500)
  const code = { sqlite: 'SQLITE_CONSTRAINT_TRIGGER', 'node-sqlite': 'ERR_SQLITE_ERROR', postgres: 'P0001' }[engineOf(t)]
  t.match(warnings, [{ level: ERROR, msg: 'contacts.update failed', code, err: { message: /the trigger says no/ } }])
  t.equal(warnings.length, 1)
})

const causeOfItself: Error & { cause?: unknown } = new Error('in a circle')
causeOfItself.cause = causeOfItself

/** What beforeCommit throws, and what the log has of it. */
const thrownValues: Record<string, { thrown: unknown, code: string, message: RegExp }> = {
  'an error with a code': { thrown: Object.assign(new Error('no disk'), { code: 'E_HOST' }), code: 'E_HOST', message: /^beforeCommit failed: no disk$/ },
  'an error without a code': { thrown: new Error('no code'), code: 'FOC_UPDATE_FAILED', message: /no code/ },
  'an error that is its own cause': { thrown: causeOfItself, code: 'FOC_UPDATE_FAILED', message: /in a circle/ },
  'a text': { thrown: 'a text', code: 'FOC_UPDATE_FAILED', message: /^beforeCommit failed/ }
}
for (const [name, { thrown, code, message }] of Object.entries(thrownValues)) {
  t.test(`beforeCommit throws ${name}: one line with its message and the code ${code}`, async (t) => {
    const { statusCode, warnings } = await updateIn(t, { setup: { beforeCommit: () => { throw thrown } } })
    t.equal(statusCode, 500)
    t.match(warnings, [{ level: ERROR, msg: 'contacts.update failed', code, err: { message } }])
    t.equal(warnings.length, 1)
  })
}

t.test('a hook of the host refuses with 503: one line with its cause and code', async (t) => {
  const overload = Object.assign(new Error('too much to do'), { statusCode: 503, code: 'HOST_OVERLOAD' })
  const { statusCode, warnings } = await updateIn(t, {
    setup: { host: (app) => { app.addHook('preHandler', (_request, _reply, done) => { done(overload) }) } }
  })
  t.equal(statusCode, 503)
  t.match(warnings, [{ level: WARN, msg: 'a hook has refused contacts.update with 503', code: 'HOST_OVERLOAD', err: { message: 'too much to do' } }])
  t.equal(warnings.length, 1)
})

t.test('a hook refuses with 503 while nothing can be written to the log: the answer is the same', async (t) => {
  const { update } = await build(t, {
    server: loggerThatFails,
    host: (app) => { app.addHook('onRequest', async () => { throw Object.assign(new Error('too much to do'), { statusCode: 503 }) }) }
  })
  const reply = await update({ contactId: 'maria' })
  t.strictSame([reply.statusCode, reply.json()], [503, { success: false, error: 'Service Unavailable' }])
})

t.test('the database is busy while nothing can be written to the log: the answer is the same', async (t) => {
  const { update, db } = await build(t, { ...hostUsers, server: loggerThatFails, lockTimeout: 200 })
  await lockMaria(db)
  const reply = await update({ contactId: 'maria', name: 'Marie' })
  await db.exec('ROLLBACK')
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
})

t.test('a hook has answered an update while nothing can be written to the log: the process goes on', async (t) => {
  // What the plugin and Fastify log about an update that has its answer already.
  const linesThatFail = /was not made|Promise errored|already sent/
  const write = (line: string): void => { if (linesThatFail.test(line)) throw new Error('no space left') }
  let reply!: FastifyReply
  const { update, db } = await build(t, {
    server: { logger: { stream: { write } } },
    host: (app) => {
      app.addHook('preHandler', (_request, ownReply, done) => {
        reply = ownReply
        done()
      })
    },
    beforeCommit: () => { reply.hijack().raw.end('of the host') }
  })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).body, 'of the host')
  t.equal(await nameOfMaria(db), 'Maria')
})

t.test('authenticate fails: one line with its cause and code', async (t) => {
  const { statusCode, warnings } = await updateIn(t, {
    setup: { authenticate: () => { throw Object.assign(new Error('no sessions'), { code: 'ECONNREFUSED' }) } }
  })
  t.equal(statusCode, 500)
  t.match(warnings, [{ level: ERROR, code: 'ECONNREFUSED', err: { message: /no sessions/ } }])
  t.equal(warnings.length, 1)
})

const unansweredPatterns: Record<string, { regexp: string, reason: RegExp }> = {
  'a pattern that does not compile': { regexp: '(', reason: /does not compile: .*Unterminated group/ },
  'a pattern that is too large': { regexp: 'x'.repeat(10_001), reason: /is too large/ },
  'a pattern that takes too long': { regexp: '^(a+)+$', reason: /took too long/ }
}
for (const [name, { regexp, reason }] of Object.entries(unansweredPatterns)) {
  t.test(`${name}: one line with the field and the reason`, async (t) => {
    const prepare = async ({ db }: TestServer): Promise<void> => {
      await db.exec("UPDATE omnichannel_custom_field SET regexp = $1 WHERE id = 'plan'", regexp)
    }
    const { statusCode, warnings } = await updateIn(t, { prepare, body: { customFields: { plan: `${'a'.repeat(50_000)}!` } } })
    t.equal(statusCode, 400)
    t.match(warnings, [{ level: ERROR, customField: 'plan', msg: reason }])
    t.equal(warnings.length, 1)
  })
}
