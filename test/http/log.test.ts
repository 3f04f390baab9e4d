// The log: each 500 and 503 has one line with its cause and its code, and a 503 names the obstacle.

import { join } from 'node:path'
import type { Pool, PoolClient } from 'pg'
import type { Test } from 'tap'
import { DatabaseBusyError, type Obstacle } from '../../src/index.js'
import { build, holdMaria, type Setup, type World } from '../helpers/build.js'
import t, { engineOf, postgres, sqlite } from '../helpers/engines.js'
import { openFile } from '../helpers/files.js'
import { openHandle } from '../helpers/handle.js'
import { busy, observe } from '../helpers/observed.js'
import { knownCaller } from '../helpers/waiting.js'
import { openProxy, type Fault, type Injection } from '../store/explorer/proxy.js'

interface Line {
  level: number
  msg: string
  code?: string
  obstacle?: string
  err: { message: string, stack: string }
}

/** The lines above `info` of one update. */
async function linesOf (t: Test, setup: Setup, prepare: (world: World) => unknown = () => undefined, body: object = { name: 'A' }) {
  const world = await observe(t, { ...knownCaller, lockTimeout: 500, ...setup })
  await prepare(world)
  const { statusCode } = await world.update({ contactId: 'maria', ...body })
  return { statusCode, lines: (world.lines as unknown as Line[]).filter(({ level }) => level > 30) }
}

const gaveUp = 'contacts.update gave up waiting for the database'

function checkBusy (t: Test, { statusCode, lines }: { statusCode: number, lines: Line[] }, obstacle: Obstacle, cause: RegExp): void {
  t.equal(statusCode, 503)
  t.match(lines, [{ level: 40, msg: gaveUp, code: 'FOC_DATABASE_BUSY', obstacle, err: { message: cause } }])
  t.equal(lines.length, 1)
}

sqlite.test('a DatabaseBusyError made by the host: has the message, and no obstacle', async (t) => {
  const [plain, caused] = [new DatabaseBusyError(), new DatabaseBusyError({ cause: 'mine' })]
  t.strictSame([plain.message, plain.obstacle, plain.cause], ['error-database-busy', undefined, undefined])
  t.strictSame([caused.message, caused.obstacle, caused.cause], ['error-database-busy', undefined, 'mine'])
})

sqlite.test('SQLite is busy: one line with the obstacle', async (t) => {
  checkBusy(t, await linesOf(t, {}, ({ db }) => holdMaria(db)), 'host-transaction', /the host has a transaction on the handle/)

  const file = join(t.testdir(), 'contacts.db')
  const other = openFile(t, file)
  const locked = await linesOf(t, { database: openHandle(file) }, () => { other.exec('BEGIN IMMEDIATE') })
  checkBusy(t, locked, 'other-connection', /database is locked/)

  let rows!: IterableIterator<unknown>
  const iterating = await linesOf(t, {}, ({ database }) => {
    rows = database.prepare('SELECT id FROM omnichannel_user').iterate()
    rows.next()
  })
  rows.return?.()
  checkBusy(t, iterating, 'host-iterator', /busy executing a query/)
})

const refuse = (code: string): Fault => ({ do: 'refuse', fields: { C: code } })

/** Faults of the server or of a pooler, and the obstacle that the log names. */
const faults: Record<string, { injections: Injection[], obstacle: Obstacle, cause: RegExp }> = {
  'an unreachable server': { injections: [{ at: /^connect$/, fault: { do: 'cut-before' }, times: 1000 }], obstacle: 'server-away', cause: /terminated|ECONN|EPIPE/ },
  'a server that does not answer': {
    injections: [{ at: /^connect$/, fault: { do: 'hold-before' }, times: 1000 }], obstacle: 'server-away', cause: /was connected in time|terminated/
  },
  'a server that stops': { injections: [{ at: /^BEGIN/, fault: refuse('57P01'), times: 1000 }], obstacle: 'server-away', cause: /refused/ },
  'a server without a free connection': { injections: [{ at: /^connect$/, fault: refuse('53300'), times: 1000 }], obstacle: 'full-server', cause: /refused/ },
  'prepared statements that a pooler has dropped': { injections: [{ at: /^BEGIN/, fault: refuse('26000'), times: 1000 }], obstacle: 'host-client', cause: /refused/ }
}

for (const [name, { injections, obstacle, cause }] of Object.entries(faults)) {
  postgres.test(`${name}: one line with the obstacle ${obstacle}`, async (t) => {
    const proxy = await openProxy()
    t.teardown(proxy.close)
    // Ends the clients that are connected already.
    const endIdle = async ({ database }: World): Promise<void> => {
      const pool = database as unknown as Pool
      const clients = await Promise.all(Array.from({ length: 3 }, async () => await pool.connect()))
      for (const client of clients) client.release(true)
      proxy.plan.begin(injections)
    }
    checkBusy(t, await linesOf(t, { pool: { host: proxy.host, max: 3 } }, endIdle), obstacle, cause)
    proxy.plan.begin([])
  })
}

postgres.test('a full pool, another transaction or a standby: one line names it as the obstacle', async (t) => {
  let client!: PoolClient
  const take = async ({ database }: World): Promise<void> => { client = await (database as unknown as Pool).connect() }
  checkBusy(t, await linesOf(t, { pool: { max: 1 } }, take), 'full-pool', /no client of the pool was free/)
  client.release()

  checkBusy(t, await linesOf(t, { lockTimeout: 1000, pool: { max: 1, connectionTimeoutMillis: 10 } }, take), 'full-pool', /timeout exceeded/)
  client.release()

  checkBusy(t, await linesOf(t, {}, ({ db }) => holdMaria(db)), 'other-transaction', /statement timeout/)

  const readOnly = async ({ db }: World): Promise<void> => await db.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'a standby' USING ERRCODE = '25006'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION refuse()`)
  checkBusy(t, await linesOf(t, {}, readOnly), 'read-only-server', /a standby/)
})

postgres.test('a connection is refused, and the next attempt gets no client in time: the line names the refusal', async (t) => {
  const refuse = async ({ database }: World): Promise<void> => {
    const pool = database as unknown as Pool
    const refusal = Object.assign(new Error('too many clients'), { code: '53300' })
    let isFirst = true
    t.intercept(pool, 'connect', { value: (callback: (error: Error) => void) => {
      if (isFirst) callback(refusal)
      isFirst = false
    } })
  }
  checkBusy(t, await linesOf(t, {}, refuse), 'full-server', /too many clients/)
})

t.test('an error of the database: one line with its cause and code', async (t) => {
  const { statusCode, lines } = await linesOf(t, {}, async ({ db }) => { await db.refuseUpdates('omnichannel_contact', 'the trigger says no') })
  t.equal(statusCode, 500)
  const code = { sqlite: 'SQLITE_CONSTRAINT_TRIGGER', 'node-sqlite': 'ERR_SQLITE_ERROR', postgres: 'P0001' }[engineOf(t)]
  t.match(lines, [{ level: 50, msg: 'contacts.update failed', code, err: { message: /the trigger says no/ } }])
  t.equal(lines.length, 1)
})

t.test('an error of beforeCommit: one line with its cause, and with its code or FOC_UPDATE_FAILED', async (t) => {
  const endless: Error & { cause?: unknown } = new Error('in a circle')
  endless.cause = endless
  for (const [thrown, code, message] of [
    [Object.assign(new Error('mine'), { code: 'E_MINE' }), 'E_MINE', /^beforeCommit failed: mine$/],
    [new Error('no code'), 'FOC_UPDATE_FAILED', /no code/],
    [endless, 'FOC_UPDATE_FAILED', /in a circle/],
    ['a text', 'FOC_UPDATE_FAILED', /^beforeCommit failed/]
  ] as const) {
    const { statusCode, lines } = await linesOf(t, { beforeCommit: () => { throw thrown } })
    t.equal(statusCode, 500)
    t.match(lines, [{ level: 50, msg: 'contacts.update failed', code, err: { message } }])
    t.equal(lines.length, 1)
  }
})

t.test('a hook of the host that refuses with 503: one line with its cause and code', async (t) => {
  const overload = Object.assign(new Error('too much to do'), { statusCode: 503, code: 'HOST_OVERLOAD' })
  const { statusCode, lines } = await linesOf(t, { host: (app) => { app.addHook('preHandler', (_request, _reply, done) => { done(overload) }) } })
  t.equal(statusCode, 503)
  t.match(lines, [{ level: 40, msg: 'a hook has refused contacts.update with 503', code: 'HOST_OVERLOAD', err: { message: 'too much to do' } }])
  t.equal(lines.length, 1)
})

t.test('a 503 while nothing can be written to the log: the answer is the same', async (t) => {
  const server = { logger: { level: 'warn', stream: { write: () => { throw new Error('no space left') } } } }
  const { update, db } = await build(t, {
    ...knownCaller, server, lockTimeout: 200, host: (app) => {
      app.addHook('onRequest', async ({ headers }) => { if (headers.overload === 'yes') throw Object.assign(new Error('too much to do'), { statusCode: 503 }) })
    }
  })
  const refused = await update({ contactId: 'maria' }, { overload: 'yes' })
  t.strictSame([refused.statusCode, refused.json()], [503, { success: false, error: 'Service Unavailable' }])
  await holdMaria(db)
  const reply = await update({ contactId: 'maria', name: 'Marie' })
  await db.exec('ROLLBACK')
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
})

t.test('an update that a hook has answered, while nothing can be written to the log: the process goes on', async (t) => {
  let hijack: () => unknown
  const write = (line: string): void => { if (/was not made|Promise errored|already sent/.test(line)) throw new Error('no space left') }
  const { update, db } = await build(t, {
    server: { logger: { stream: { write } } },
    host: (app) => { app.addHook('preHandler', async (_request, reply) => { hijack = () => reply.hijack().raw.end('mine') }) },
    beforeCommit: () => { hijack() }
  })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).body, 'mine')
  t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Maria')
})

t.test('authenticate fails: one line with its cause and code', async (t) => {
  const { statusCode, lines } = await linesOf(t, { authenticate: () => { throw Object.assign(new Error('no sessions'), { code: 'ECONNREFUSED' }) } })
  t.equal(statusCode, 500)
  t.match(lines, [{ level: 50, code: 'ECONNREFUSED', err: { message: /no sessions/ } }])
  t.equal(lines.length, 1)
})

t.test('a pattern without an answer: one line with the field and the reason', async (t) => {
  for (const [regexp, reason] of [['(', /does not compile: .*Unterminated group/], ['x'.repeat(10_001), /is too large/], ['^(a+)+$', /took too long/]] as const) {
    const { statusCode, lines } = await linesOf(t, {}, async ({ db }) => {
      await db.exec('UPDATE omnichannel_custom_field SET regexp = $1 WHERE id = \'plan\'', regexp)
    }, { customFields: { plan: `${'a'.repeat(50_000)}!` } })
    t.equal(statusCode, 400)
    t.match(lines, [{ level: 50, customField: 'plan', msg: reason }])
    t.equal(lines.length, 1)
  }
})
