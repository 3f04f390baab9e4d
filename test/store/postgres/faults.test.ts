// Obstacles to an update: a full pool, an unreachable or read-only server, lost connections, locks.

import fastify from 'fastify'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Test } from 'tap'
import omnichannelContacts from '../../../src/index.js'
import { allRows, as, build, fill, lockMaria, path, type Setup } from '../../helpers/test-server.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe } from '../../helpers/observed-server.js'
import { backendThatWaits, openSchema } from '../../helpers/postgres.js'
import { busy, internalServerError } from '../../helpers/refusals.js'
import { until } from '../../helpers/waiting.js'
import { openProxy } from '../explorer/proxy.js'

const body = { contactId: 'maria', name: 'Marie' }

/** A test server and its pool. */
async function start (t: Test, setup: Setup = {}) {
  const { database, ...testServer } = await observe(t, { lockTimeout: 1000, ...setup })
  return { ...testServer, pool: database as unknown as pg.Pool }
}

t.test('all clients of the pool are in use: 503, nothing changed, and a client that becomes free after the deadline goes back to the pool', async (t) => {
  const { update, db, pool } = await start(t, { pool: { max: 1 } })
  const before = await allRows(db)
  const client = await pool.connect()
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json(), reply.headers['retry-after']], [503, busy, '1'])
  client.release()
  t.strictSame(await allRows(db), before)
  t.equal((await update(body)).statusCode, 200)
  t.strictSame([pool.totalCount, pool.idleCount, pool.waitingCount], [1, 1, 0])
})

t.test('another transaction locks the row for too long: 503, nothing changed', async (t) => {
  for (const pipeline of [true, false]) {
    const { update, db } = await start(t, { pool: { pipeline } })
    const before = await allRows(db)
    await lockMaria(db)
    const reply = await update(body)
    await db.exec('ROLLBACK')
    t.strictSame([reply.statusCode, reply.json()], [503, busy])
    t.strictSame(await allRows(db), before)
    t.equal((await update(body)).statusCode, 200)
  }
})

t.test('a table of callers is locked for too long: 503, and the server stops waiting', async (t) => {
  const { update, db } = await start(t, { lockTimeout: 500 })
  await db.exec('BEGIN; LOCK TABLE omnichannel_user')
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
  t.equal(await db.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = current_schema()"), 0)
  await db.exec('ROLLBACK')
  t.equal((await update(body)).statusCode, 200)
})

t.test('the longest lockTimeout: an update waits on one connection', async (t) => {
  const { update, db, pool } = await start(t, { lockTimeout: 2 ** 31 - 1 })
  let connections = 0
  pool.on('connect', () => { connections++ })
  await lockMaria(db)
  const updating = update(body)
  await backendThatWaits(db)
  await sleep(50)
  await db.exec('ROLLBACK')
  t.strictSame([(await updating).statusCode, connections], [200, 0], 'no further connection was made')
})

t.test('the server is gone: an update is answered with 503', async (t) => {
  const { update, pool } = await start(t)
  await pool.query('SELECT 1')
  pool.options.host = '/nowhere'
  await loseConnections(pool)
  t.strictSame((await update(body)).json(), busy)
})

t.test('there is no server: the registration fails with FOC_DATABASE_BUSY', async (t) => {
  const pool = new pg.Pool({ host: '/nowhere' })
  t.teardown(async () => { await pool.end() })
  await t.rejects(async () => { await fastify().register(omnichannelContacts, { database: pool, lockTimeout: 30 }) }, { code: 'FOC_DATABASE_BUSY' })
})

/** Cuts all connections of the pool. */
async function loseConnections (pool: pg.Pool): Promise<void> {
  const clients = (pool as unknown as { _clients: Array<pg.Client & { connection: { stream: { destroy: () => void } } }> })._clients
  for (const client of clients) client.connection.stream.destroy()
  await until(() => pool.totalCount === 0)
}

t.test('idle connections are lost: logged without their settings, and the next update works', async (t) => {
  const { update, pool, warningTexts, lines } = await start(t)
  t.equal((await update(body)).statusCode, 200)
  await loseConnections(pool)
  t.equal((await update(body)).statusCode, 200)
  t.match(warningTexts(), [/connection to the database/])
  t.notMatch(JSON.stringify(lines), /connectionParameters|secretKey/)
})

t.test('an idle connection is lost while nothing can be written to the log: the next update works', async (t) => {
  const write = (line: string): void => { if (line.includes('connection to the database')) throw new Error('no space left') }
  const { update, pool } = await start(t, { server: { logger: { stream: { write } } } })
  t.equal((await update(body)).statusCode, 200)
  await loseConnections(pool)
  t.equal((await update(body)).statusCode, 200)
})

t.test('the server ends three connections as soon as they are ready: the registration and an update try again', async (t) => {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  proxy.plan.begin([{ at: /^connect$/, times: 3, fault: { do: 'shutdown' } }])
  const { update } = await build(t, { pool: { host: proxy.host } })
  t.equal((await update(body)).headers.etag, '"2"')
  t.strictSame(proxy.plan.unused(), [])
})

for (const code of ['EAGAIN', 'EADDRNOTAVAIL', 'EMFILE', 'ENETDOWN', 'EHOSTUNREACH']) {
  t.test(`connecting fails with ${code}, once or until the deadline: the update is tried again, or answered with 503`, async (t) => {
    let failures = 0
    const stream = (): Socket => {
      const socket = new Socket()
      if (failures-- > 0) socket.connect = () => socket.destroy(Object.assign(new Error(`connect ${code}`), { code }))
      return socket
    }
    const { update, db, warnings } = await start(t, { lockTimeout: 200, pool: { maxUses: 1, stream } })
    failures = 1
    t.equal((await update(body)).headers.etag, '"2"')
    const before = await allRows(db)
    failures = Infinity
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json(), warnings().at(-1)?.obstacle], [503, busy, 'server-away'])
    t.strictSame(await allRows(db), before)
  })
}

t.test('the error listener of the pool: added once, and only if the host has none', async (t) => {
  const { database: pool, close, settings } = await openSchema()
  t.teardown(close)
  const poolWithListener = new pg.Pool(settings)
  poolWithListener.on('error', () => undefined)
  await fastify().register(omnichannelContacts, { database: poolWithListener })
  await fastify().register(omnichannelContacts, { database: pool })
  await fastify().register(omnichannelContacts, { database: pool })
  t.equal(poolWithListener.listenerCount('error'), 1)
  t.equal(pool.listenerCount('error'), 1)
  await poolWithListener.end()
})

t.test('the server ends the connection of an update that waits: the update is tried again', async (t) => {
  const { update, db } = await start(t, { lockTimeout: 5000 })
  await lockMaria(db)
  const updating = update(body)
  const first = await backendThatWaits(db)
  await db.exec('SELECT pg_terminate_backend($1::int)', first)
  await until(async () => await backendThatWaits(db) !== first)
  await db.exec('ROLLBACK')
  t.strictSame([(await updating).statusCode, (await updating).headers.etag], [200, '"2"'])
})

t.test('the server ends the connection that looks up the caller: the look-up is tried again on another', async (t) => {
  const { update, db, pool } = await start(t, { lockTimeout: 5000 })
  const acquired: unknown[] = []
  const errorsOfIdleClients: unknown[] = []
  pool.on('acquire', (client) => { acquired.push(client) })
  pool.on('error', (error) => { errorsOfIdleClients.push(error) })
  await db.exec('BEGIN; LOCK TABLE omnichannel_user')
  const updating = update(body)
  const first = await backendThatWaits(db)
  await db.exec('SELECT pg_terminate_backend($1::int)', first)
  await until(async () => await backendThatWaits(db) !== first)
  await db.exec('ROLLBACK')
  // The second client has made the look-up, and then the update.
  t.equal((await updating).statusCode, 200)
  t.strictSame([acquired.length, new Set(acquired).size, errorsOfIdleClients], [3, 2, []])
})

type QueryFunction = (...parameters: unknown[]) => unknown

/** A host that replaces the function `query` of each client of its pool, as tracers do. */
function wrapQuery (wrap: (query: QueryFunction) => QueryFunction): NonNullable<Setup['host']> {
  return (_app, { database }) => {
    (database as unknown as pg.Pool).on('connect', (client) => {
      Object.assign(client, { query: wrap(client.query.bind(client) as QueryFunction) })
    })
  }
}

for (const [queriesBefore, step] of ['the look-up of the caller', 'the reads', 'the writes'].entries()) {
  t.test(`a host has wrapped the clients, and ${step} cannot be sent: 500, nothing changed, and the next update works`, async (t) => {
    /** How many queries pass before one fails. A round trip is one query. */
    let queriesLeft = Infinity
    const { update, db, pool } = await start(t, {
      host: wrapQuery((query) => async (...parameters) => {
        if (queriesLeft-- <= 0) throw new Error('not now')
        return await query(...parameters)
      })
    })
    const before = await allRows(db)
    queriesLeft = queriesBefore
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
    t.strictSame(await allRows(db), before)
    queriesLeft = Infinity
    t.equal((await update(body)).headers.etag, '"2"')
    t.equal(pool.idleCount, pool.totalCount)
  })
}

t.test('a host has wrapped the clients, and adds a comment to copies of unnamed queries, as OpenTelemetry does: 200', async (t) => {
  const commented: unknown[] = []
  const { update, db } = await start(t, {
    host: wrapQuery((query) => (config, ...parameters) => {
      const { text, name } = config as { text?: string, name?: string }
      if (text === undefined || name !== undefined) return query(config, ...parameters)
      const copy = { ...config as object, text: `${text} /* trace */` }
      commented.push(copy)
      return query(copy, ...parameters)
    }),
    beforeCommit: async (_event, client: pg.PoolClient) => { await client.query({ text: 'SELECT 1' }) }
  })
  t.equal((await update(body)).headers.etag, '"2"')
  t.match([await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), commented], ['Marie', [{ text: 'SELECT 1 /* trace */' }]])
})

t.test('a host has wrapped the clients, and its wrapper fails after it has sent COMMIT: 200, because it is committed', async (t) => {
  const failures: Array<() => unknown> = [() => { throw new Error('too late') }, async () => { throw new Error('too late') }]
  for (const fail of failures) {
    /** How many queries pass before the wrapper fails: the look-up of the caller, the reads, the writes. The next one is COMMIT. */
    let queriesLeft = Infinity
    const { update, db, eventsAfterCommit } = await start(t, {
      host: wrapQuery((query) => (...parameters) => {
        const sent = query(...parameters)
        return queriesLeft-- === 0 ? fail() : sent
      })
    })
    queriesLeft = 3
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.headers.etag, queriesLeft < 0, eventsAfterCommit.length], [200, '"2"', true, 1])
    t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Marie')
  }
})

t.test('a server process that hangs: 503, and the next request gets another', async (t) => {
  for (const pipeline of [true, false]) {
    const { update, db, pool } = await start(t, { pool: { pipeline, max: 1 } })
    const { rows: [{ pid } = { pid: 0 }] } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    const before = await allRows(db)
    process.kill(pid, 'SIGSTOP')
    t.strictSame((await update(body)).json(), busy)
    t.strictSame(await allRows(db), before)
    t.equal((await update(body)).statusCode, 200)
    process.kill(pid, 'SIGCONT')
  }
})

t.test('a read-only server: 503, nothing changed', async (t) => {
  const { db, database, close, settings } = await openSchema()
  await fastify().register(omnichannelContacts, { database })
  await fill(db)
  const before = await allRows(db)
  const readOnly = new pg.Pool({ ...settings, options: `${settings.options} -c default_transaction_read_only=on` })
  t.teardown(async () => {
    await readOnly.end()
    await close()
  })
  const app = fastify()
  await app.register(omnichannelContacts, { database: readOnly, lockTimeout: 1000 })
  const reply = await app.inject({ method: 'POST', url: path, headers: as('ann'), payload: body })
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
  t.strictSame(await allRows(db), before)
})

t.test('renames of contacts with the same visitors in different orders: no deadlock, all are made', async (t) => {
  const { update, db } = await start(t, { lockTimeout: 10_000, pool: { max: 12 } })
  await db.exec(`
    INSERT INTO omnichannel_contact (id, name) SELECT 'c' || number, '' FROM generate_series(0, 7) AS number;
    -- Every other contact has the four visitors in reverse order.
    INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
      SELECT 'c' || number, position, '', 'v' || CASE number % 2 WHEN 0 THEN position ELSE 3 - position END, 'widget'
      FROM generate_series(0, 7) AS number CROSS JOIN generate_series(0, 3) AS position;
    INSERT INTO omnichannel_subscription (id, visitor_id) SELECT 's' || visitor, 'v' || visitor FROM generate_series(0, 3) AS visitor;
    INSERT INTO omnichannel_inquiry (id, visitor_id) SELECT 'i' || visitor, 'v' || visitor FROM generate_series(0, 3) AS visitor`)
  const contacts = await db.column<string>("SELECT id FROM omnichannel_contact WHERE id LIKE 'c_' ORDER BY id")
  const names = ['A', 'B', 'C']
  const replies = await Promise.all(contacts.flatMap((contactId) => names.map(async (name) => await update({ contactId, name }))))
  t.strictSame(new Set(replies.map(({ statusCode }) => statusCode)), new Set([200]))
  t.strictSame(await db.value("SELECT sum(version - 1) FROM omnichannel_contact WHERE id LIKE 'c_'"), contacts.length * names.length)
  t.equal(contacts.length, 8)
})

t.test('two updates of different contacts with one key at once: one is made, the other gets 422', async (t) => {
  const headers = { ...as('ann'), 'idempotency-key': 'key' }
  let other: Promise<{ statusCode: number }> | undefined
  const { update, db } = await build(t, {
    // The other update has not found the key, and waits until it can store its answer.
    beforeCommit: async () => {
      if (other !== undefined) return
      other = update({ contactId: 'blank', name: 'A' }, headers)
      await backendThatWaits(db)
    }
  })
  const reply = await update({ contactId: 'maria', name: 'A' }, headers)
  t.strictSame([reply.statusCode, (await other)?.statusCode], [200, 422])
  t.equal(await db.value("SELECT count(*) FROM omnichannel_contact WHERE name = 'A'"), 1)
})

t.test('the host has added a NOT NULL column to the table of stored answers: 500 at once, nothing changed', async (t) => {
  const { db, update } = await build(t)
  await db.exec('ALTER TABLE omnichannel_idempotency_key ADD COLUMN tenant text NOT NULL')
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'Marie' }, { ...as('ann'), 'idempotency-key': 'key' })
  t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.strictSame(await allRows(db), before)
})

for (const [name, sql] of Object.entries({
  'makes the contact anew': "DELETE FROM omnichannel_contact WHERE id = 'maria'; INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Anew')",
  'gives its id to another contact': `DELETE FROM omnichannel_contact WHERE id = 'maria'; UPDATE omnichannel_contact SET id = 'maria' WHERE id = 'blank'`
})) {
  t.test(`the update waits for a transaction that ${name}: the new row is updated`, async (t) => {
    const { db, update } = await build(t)
    await lockMaria(db)
    const updating = update({ contactId: 'maria', name: 'Marie', emails: ['new@example.com'] })
    await backendThatWaits(db)
    await db.exec(`${sql}; COMMIT`)
    const reply = await updating
    t.strictSame([reply.statusCode, reply.headers.etag, reply.json().contact?.phones], [200, '"2"', []])
    t.strictSame(await db.column("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), ['Marie'])
  })
}

t.test("the host returns a client to the pool inside a transaction: another is used, and the host's writes are rolled back", async (t) => {
  const { update, db, pool } = await start(t, { pool: { max: 1 } })
  const client = await pool.connect()
  await client.query("BEGIN; UPDATE omnichannel_contact SET name = 'left open' WHERE id = 'blank'")
  client.release()
  t.equal((await update(body)).statusCode, 200)
  t.strictSame(await db.column('SELECT name FROM omnichannel_contact ORDER BY id'), ['', 'Gone', 'Marie'])
})
