// A beforeCommit of the host misuses its client or its transaction, or takes too long: 200 still means written, and any other answer means
// that nothing was written.

import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PoolClient } from 'pg'
import { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, build, changes, lockMaria, type Setup } from '../../helpers/test-server.js'
import { postgres as t } from '../../helpers/engines.js'
import { listen, observe } from '../../helpers/observed-server.js'
import { busy, internalServerError } from '../../helpers/refusals.js'
import { nameOfMaria, signal, waitTurns } from '../../helpers/waiting.js'

/** Creates a table into which `beforeCommit` writes. */
const host: Setup['host'] = async (_app, { db }) => { await db.exec('CREATE TABLE journal (name text UNIQUE)') }
const body = { contactId: 'maria', name: 'Marie' }
const headers = { ...as('ann'), 'idempotency-key': 'key' }
type Client = PoolClient & { end: () => Promise<void>, connection: { stream: { destroy: () => void } } }
type Callback = (client: Client) => unknown

/** A callback that runs SQL, and then ends as `then` does. */
const run = (sql: string, then: Callback = () => undefined): Callback => async (client) => {
  await client.query(sql)
  await then(client)
}
/** A callback that sends SQL and does not wait for the result. */
const send = (...statements: string[]): Callback => (client) => {
  for (const sql of statements) client.query(sql).catch(() => undefined)
}
/** Runs SQL that fails, and ignores the error. */
const runIgnoringError = (sql: string): Callback => async (client) => { await client.query(sql).catch(() => undefined) }
const release: Callback = (client) => { client.release() }
const neverEnd = async (): Promise<void> => { await new Promise(() => undefined) }
const throwLate = (): never => { throw new Error('late') }
const refuseLate = (): never => { throw new UpdateRefusedError('error-late') }
/** An error with a property that throws when it is read. */
const throwUnreadable = (property: string): never => {
  throw Object.defineProperty(new Error('late'), property, { get: () => { throw new Error('of the getter') } })
}

const savepointOfPlugin = 'SAVEPOINT omnichannel_update'
/** Codes of Node.js and of PostgreSQL. The plugin tries again if an error of its own client has one, but not if a host's error has. */
const transientCodes = ['ECONNREFUSED', 'ENOENT', 'ETIMEDOUT', 'ECONNRESET', 'EPIPE', '57P01', '40001', '08006', '53300', '55P03']
const lostConnection = 'a connection to the database was lost'

/** Callbacks after which the update fails, and the message in the log. */
const harmful: Record<string, [callback: Callback, logged: RegExp]> = {
  'runs ROLLBACK': [run('ROLLBACK'), /ended the transaction/],
  'runs ROLLBACK; BEGIN': [run('ROLLBACK; BEGIN'), /ended the transaction/],
  'runs ROLLBACK AND CHAIN': [run('ROLLBACK AND CHAIN'), /ended the transaction/],
  'runs ROLLBACK, BEGIN and a statement of its own': [run('ROLLBACK; BEGIN; SELECT 1'), /ended the transaction/],
  'runs ROLLBACK, and then throws': [run('ROLLBACK', throwLate), /late/],
  'sends ROLLBACK and does not wait': [send('ROLLBACK'), /ended the transaction/],
  'runs ABORT; BEGIN, and makes a savepoint with another name': [run('ABORT; BEGIN; SAVEPOINT mine'), /ended the transaction/],
  "runs ROLLBACK; BEGIN, and makes a savepoint with the plugin's name": [run(`ROLLBACK; BEGIN; ${savepointOfPlugin}`), /ended the transaction/],
  'runs PREPARE TRANSACTION': [run("PREPARE TRANSACTION 'x'"), /prepared transactions are disabled|beforeCommit/],
  'releases its client': [release, /released its client/],
  'releases and destroys its client': [(client) => { client.release(true) }, /released its client/],
  'releases its client, and then queries': [async (client) => { client.release(); await client.query('SELECT 1') }, /released its client/],
  'ends its client': [async (client) => { await client.end() }, /or ended it/],
  'ends its client and does not wait': [(client) => { void client.end() }, /or ended it/],
  'lets a query fail': [run('SELECT 1/0'), /division by zero/],
  'lets a query fail and ignores the error': [runIgnoringError('SELECT 1/0'), /let the transaction fail/],
  'lets two queries fail and ignores the errors': [async (client) => {
    for (const sql of ['SELECT 1/0', 'SELECT 1']) await client.query(sql).catch(() => undefined)
  }, /let the transaction fail/],
  'lets a query fail and ignores the error, and cannot reach another server': [async (client) => {
    await client.query('SELECT 1/0').catch(() => undefined)
    throw Object.assign(new Error('of another server'), { code: 'ECONNREFUSED' })
  }, /of another server/],
  'sends a query that fails and does not wait': [send('SELECT 1/0'), /let the transaction fail/],
  'sends queries of which the last fails and does not wait': [send('SELECT 1', 'SELECT pg_sleep(0.05)', 'SELECT 1/0'), /let the transaction fail/],
  "releases the plugin's savepoint": [run('RELEASE SAVEPOINT omnichannel_update'), /beforeCommit|savepoint/],
  ...Object.fromEntries(transientCodes.map((code) => [
    `throws an error of its own with the code ${code}`,
    [() => { throw Object.assign(new Error(`mine: ${code}`), { code }) }, new RegExp(`mine: ${code}`)]
  ])),
  'reads a file that is not there': [async () => { await readFile('/no/such/file') }, /ENOENT/],
  'calls a server that cannot be reached': [async () => { await fetch('http://127.0.0.1:1/') }, /fetch failed/],
  'throws an error with a message of node-postgres': [() => { throw new Error('Connection terminated unexpectedly') }, /Connection terminated unexpectedly/],
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
  'rejects without a reason': [async () => { await Promise.reject(undefined) }, /beforeCommit failed/],
  'throws an error with a status': [() => { throw Object.assign(new Error('mine'), { statusCode: 404, code: 'FOC_CONTACT_NOT_FOUND' }) }, /mine/]
}
for (const pipeline of [true, false]) {
  const mode = pipeline ? '' : ', without pipelining'

  for (const [what, [callback, logged]] of Object.entries(harmful)) {
    t.test(`beforeCommit ${what}: 500 at once, called once, nothing written${mode}`, async (t) => {
      let isHarmful = true
      const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await observe(t, {
        host, lockTimeout: 10000,
        pool: { pipeline, max: 1 },
        beforeCommit: async (_event, client: Client) => {
          await client.query("INSERT INTO journal VALUES ('half')")
          if (isHarmful) await callback(client)
        }
      })
      const before = await allRows(db)
      const reply = await update(body, headers)
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [500, internalServerError, undefined])
      t.equal(eventsBeforeCommit.length, 1)
      t.strictSame(await allRows(db), before)
      t.strictSame(await db.rows('SELECT name FROM journal'), [])
      t.match(warningTexts().filter((line) => !line.includes(lostConnection)), [logged])
      t.strictSame([eventsAfterCommit, await leftovers()], [[], {}])
      isHarmful = false
      t.equal((await update(body, headers)).headers.etag, '"2"', 'the next update is made')
      t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, await leftovers()], [2, 1, {}])
    })
  }

  /** Callbacks that commit the update themselves. */
  const committing: Record<string, Callback> = {
    'runs COMMIT': run('COMMIT'),
    'runs COMMIT; BEGIN': run('COMMIT; BEGIN'),
    "runs COMMIT; BEGIN, and makes a savepoint with the plugin's name": run(`COMMIT; BEGIN; ${savepointOfPlugin}`),
    "runs COMMIT; BEGIN, makes a savepoint with the plugin's name, and refuses": run(`COMMIT; BEGIN; ${savepointOfPlugin}`, refuseLate),
    'runs COMMIT AND CHAIN': run('COMMIT AND CHAIN'),
    'runs COMMIT, and throws': run('COMMIT', throwLate),
    'runs COMMIT, and throws an error whose code cannot be read': run('COMMIT', () => throwUnreadable('code')),
    'runs COMMIT, and throws an error whose message cannot be read': run('COMMIT', () => throwUnreadable('message')),
    'runs COMMIT, and releases its client': run('COMMIT', release),
    'runs COMMIT, and never resolves': run('COMMIT', neverEnd),
    'runs COMMIT and a query until the deadline, and releases its client': run('COMMIT', async (client) => {
      await client.query('SELECT pg_sleep(1.1)').finally(() => { client.release() })
    }),
    'sends COMMIT and does not wait': send('COMMIT'),
    'runs COMMIT, and a query that fails': run('COMMIT', run('SELECT 1/0')),
    'runs COMMIT, and refuses': run('COMMIT', refuseLate)
  }
  for (const [what, callback] of Object.entries(committing)) {
    t.test(`beforeCommit ${what}: 200, because it has committed, and a replay for the same key${mode}`, async (t) => {
      const { update, db, eventsBeforeCommit, eventsAfterCommit, leftovers } = await observe(t, {
        lockTimeout: 1000, pool: { pipeline, max: 1 }, beforeCommit: async (_event, client: Client) => { await callback(client) }
      })
      const before = await allRows(db)
      const reply = await update(body, headers)
      t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, 'Marie', '"2"'])
      const { omnichannel_idempotency_key: keys, ...after } = await allRows(db)
      t.match(changes(before, after), { 'contact maria': { name: 'Marie', version: 2 } })
      t.equal(keys?.length, 1)
      const again = await update(body, headers)
      t.strictSame([again.statusCode, again.body, again.headers['idempotency-replayed']], [200, reply.body, 'true'])
      t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, await leftovers()], [1, 1, {}])
    })
  }

  /** Resolves when the host has released the client of an update that has ended. */
  let released: Promise<void> | undefined
  const undoOwnStatement = async (client: Client): Promise<unknown> =>
    await client.query('SAVEPOINT mine; UPDATE omnichannel_contact SET name = NULL::text || name; ROLLBACK TO mine')
      .catch(async () => await client.query('ROLLBACK TO mine'))
  /** Callbacks that do not disturb the update. */
  const harmless: Record<string, Callback> = {
    'deallocates all prepared statements': run('DEALLOCATE ALL'),
    'runs BEGIN, which only warns': run('BEGIN'),
    'leaves a savepoint of its own open': run('SAVEPOINT mine'),
    'rolls back to a savepoint of its own': undoOwnStatement,
    "rolls back to the plugin's savepoint, and writes": run("ROLLBACK TO SAVEPOINT omnichannel_update; INSERT INTO journal VALUES ('again')"),
    "makes a savepoint with the plugin's name": run(savepointOfPlugin),
    'runs LISTEN and NOTIFY': run("LISTEN contacts; NOTIFY contacts, 'x'"),
    'sends a query and does not wait': send("INSERT INTO journal VALUES ('late')"),
    'sends many queries and does not wait': (client) => {
      for (let index = 0; index < 50; index++) void client.query('INSERT INTO journal VALUES ($1)', [`late ${index}`])
    },
    'leaves a cursor open': run('DECLARE mine CURSOR FOR SELECT * FROM generate_series(1, 100000)'),
    'checks constraints at once': run('SET CONSTRAINTS ALL IMMEDIATE'),
    'changes client_encoding': run("SET client_encoding TO 'LATIN1'"),
    'changes client_encoding until COMMIT': run("SET LOCAL client_encoding TO 'LATIN1'"),
    'changes search_path until COMMIT': run('SET LOCAL search_path TO pg_catalog'),
    'changes the role until COMMIT': run('SET LOCAL ROLE pg_read_all_data'),
    'makes the transaction read-only from now on': run('SET TRANSACTION READ ONLY'),
    'sets a statement_timeout of a second': run('SET LOCAL statement_timeout = 1000'),
    'adds listeners of its own': (client) => { client.on('error', () => undefined).on('notice', () => undefined) },
    'releases its client after a query that it does not wait for': (client) => { void client.query('SELECT 1').finally(() => { client.release() }) },
    'ends its client after a query that it does not wait for': (client) => { void client.query('SELECT 1').finally(() => { void client.end() }) },
    'releases its client right after it has ended': (client) => { setImmediate(() => { client.release() }) },
    'releases its client long after it has ended': (client) => { released = sleep(30).then(() => { client.release() }) },
    'changes the role from now on': run('SET ROLE pg_read_all_data'),
    'changes the user from now on': run('SET SESSION AUTHORIZATION pg_read_all_data'),
    'changes search_path from now on': run('SET search_path TO pg_catalog'),
    'makes its session read-only from now on': run('SET default_transaction_read_only = on'),
    'returns a thenable': () => ({ then: (resolve: (value: unknown) => void) => { resolve(undefined) } })
  }
  for (const [what, callback] of Object.entries(harmless)) {
    t.test(`beforeCommit ${what}: 200, written once, and so is the next update${mode}`, async (t) => {
      const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await observe(t, {
        host, pool: { pipeline, max: 2 }, beforeCommit: async (_event, client: Client) => { await callback(client) }
      })
      for (const version of [2, 3]) {
        if (version === 3) await db.exec('DELETE FROM journal')
        // During the beforeCommit of the next update, the release would be a mistake of that one.
        await released
        const name = `Größe ${version} 🙂`
        const headers = { ...as('ann'), 'idempotency-key': `key-${version}` }
        const reply = await update({ contactId: 'maria', name }, headers)
        t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, name, `"${version}"`])
        t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name, version }])
        t.equal((await update({ contactId: 'maria', name }, headers)).body, reply.body, 'the stored answer is the same')
      }
      t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, warningTexts(), await leftovers()], [2, 2, [], {}])
    })
  }

  const endless: Record<string, Callback> = {
    'never resolves': neverEnd,
    'sends a query and never resolves': async (client) => {
      client.query('SELECT pg_sleep(60)').catch(() => undefined)
      await neverEnd()
    },
    'runs ROLLBACK and never resolves': run('ROLLBACK', neverEnd),
    'runs ROLLBACK; BEGIN and never resolves': run('ROLLBACK; BEGIN', neverEnd),
    'releases its client and never resolves': async (client) => {
      client.release()
      await neverEnd()
    }
  }
  for (const [what, callback] of Object.entries(endless)) {
    t.test(`beforeCommit ${what}: 500 at the deadline, its client is dropped, and the server closes${mode}`, async (t) => {
      const clients: Client[] = []
      const { app, update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await observe(t, {
        host, lockTimeout: 1000, pool: { pipeline, max: 1 },
        beforeCommit: async (_event, client: Client) => {
          clients.push(client)
          if (clients.length === 1) await callback(client)
        }
      })
      const before = await allRows(db)
      const reply = await update(body, headers)
      t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
      t.match(warningTexts().filter((line) => !line.includes(lostConnection)), [/beforeCommit has not ended by the deadline/])
      t.strictSame([eventsBeforeCommit.length, eventsAfterCommit], [1, []])
      t.strictSame(await leftovers(), {})
      t.strictSame(await allRows(db), before)
      await t.rejects(clients[0]!.query('SELECT 1'), 'its client can do no more')
      t.equal((await update(body, headers)).headers.etag, '"2"')
      t.not(clients[0], clients[1])
      await app.close()
    })
  }

  t.test(`beforeCommit ends after its deadline, with an error: the request is answered once, and nothing is written${mode}`, async (t) => {
    const [deadlinePassed, queryEnded] = [signal(), signal()]
    const { update, db, warningTexts } = await observe(t, {
      lockTimeout: 1000, pool: { pipeline },
      beforeCommit: async ({ contact }, client: Client) => {
        if (contact.name !== 'Marie') return
        await deadlinePassed.fired
        await client.query("UPDATE omnichannel_contact SET name = 'Late'").finally(queryEnded.fire)
      }
    })
    const before = await allRows(db)
    t.equal((await update(body)).statusCode, 500)
    deadlinePassed.fire()
    await queryEnded.fired
    await waitTurns(2)
    t.strictSame(await allRows(db), before)
    t.equal((await update({ contactId: 'maria', name: 'Mary' })).statusCode, 200)
    t.equal(warningTexts().filter((line) => line.includes('deadline')).length, 1)
  })

  t.test(`beforeCommit runs a query that is slower than the deadline: 500 or 503, nothing written${mode}`, async (t) => {
    const { update, db, eventsBeforeCommit, warningTexts, leftovers } = await observe(t, {
      lockTimeout: 1000, pool: { pipeline }, beforeCommit: async (_event, client: Client) => { await client.query('SELECT pg_sleep(10)') }
    })
    const before = await allRows(db)
    const reply = await update(body)
    t.match([reply.statusCode, reply.json()], [/^50[03]$/, { success: false }])
    t.strictSame(await allRows(db), before)
    t.strictSame([eventsBeforeCommit.length, warningTexts().length, await leftovers()], [1, 1, {}])
  })

  for (const code of ['40001', 'ECONNREFUSED']) {
    t.test(`beforeCommit refuses with an error that has the code ${code}: 400, called once${mode}`, async (t) => {
      const { update, db, eventsBeforeCommit } = await observe(t, {
        pool: { pipeline }, beforeCommit: () => { throw Object.assign(new UpdateRefusedError('error-mine'), { code }) }
      })
      const before = await allRows(db)
      const reply = await update(body)
      t.strictSame([reply.statusCode, reply.json(), eventsBeforeCommit.length], [400, { success: false, error: 'error-mine' }, 1])
      t.strictSame(await allRows(db), before)
    })
  }

  t.test(`beforeCommit refuses while its own query and COMMIT are on their way: 200 if the update is written, otherwise 400${mode}`, async (t) => {
    const commitEnded = signal()
    const { update, db, eventsAfterCommit } = await observe(t, {
      pool: { pipeline },
      beforeCommit: (_event, client: Client) => {
        void client.query('SELECT pg_sleep(0.05)').then(async () => { await client.query('COMMIT').finally(commitEnded.fire) })
        throw new UpdateRefusedError('no')
      }
    })
    const before = await allRows(db)
    const reply = await update(body)
    await commitEnded.fired
    const isWritten = 'contact maria' in changes(before, await allRows(db))
    t.strictSame([reply.statusCode, await nameOfMaria(db), eventsAfterCommit.length], isWritten ? [200, 'Marie', 1] : [400, 'Maria', 0])
  })

  t.test(`beforeCommit never ends, and the host locks the contact past the deadline: 500, and not in doubt${mode}`, async (t) => {
    const callbackBegan = signal()
    const { update, db, warningTexts } = await observe(t, {
      lockTimeout: 500, pool: { pipeline },
      beforeCommit: async () => {
        callbackBegan.fire()
        await neverEnd()
      }
    })
    const updating = update(body)
    await callbackBegan.fired
    await lockMaria(db)
    t.equal((await updating).statusCode, 500)
    await db.exec('ROLLBACK')
    t.match(warningTexts(), [/beforeCommit has not ended by the deadline/])
    t.equal(await nameOfMaria(db), 'Maria')
  })

  t.test(`beforeCommit sends ROLLBACK after it has ended: 200 if the update is written${mode}`, async (t) => {
    const { update, db, eventsBeforeCommit, eventsAfterCommit } = await observe(t, {
      pool: { pipeline }, beforeCommit: (_event, client: Client) => { setImmediate(() => { void client.query('ROLLBACK') }) }
    })
    const before = await allRows(db)
    const reply = await update(body)
    const isWritten = 'contact maria' in changes(before, await allRows(db))
    t.strictSame([reply.statusCode === 200, eventsBeforeCommit.length, eventsAfterCommit.length], [isWritten, 1, isWritten ? 1 : 0])
    t.equal(await nameOfMaria(db), isWritten ? 'Marie' : 'Maria')
  })

  t.test(`beforeCommit reads and writes: awaited, it sees the update, and its row is committed with it${mode}`, async (t) => {
    let seen: unknown
    const { update, db } = await build(t, {
      host,
      pool: { pipeline },
      beforeCommit: async ({ contact, previous }, client: Client) => {
        await waitTurns(5)
        seen = (await client.query<{ name: string }>("SELECT name FROM omnichannel_contact WHERE id = 'maria'")).rows
        await client.query('INSERT INTO journal VALUES ($1)', [`${previous.name} → ${contact.name}`])
      }
    })
    const reply = await update(body, headers)
    t.strictSame([reply.statusCode, seen], [200, [{ name: 'Marie' }]])
    t.strictSame(await db.column('SELECT name FROM journal'), ['Maria → Marie'])
    t.equal(await db.value('SELECT answer FROM omnichannel_idempotency_key'), reply.body)
  })

  t.test(`beforeCommit refuses, the first time after a failed query: 400, and neither its row nor the update is written${mode}`, async (t) => {
    let calls = 0
    const { update, db } = await build(t, {
      host,
      pool: { pipeline, max: 1 },
      beforeCommit: async (_event, client: Client) => {
        await client.query("INSERT INTO journal VALUES ('half')")
        if (calls++ === 0) await client.query('SELECT 1/0').catch(() => undefined)
        throw new UpdateRefusedError('error-mine')
      }
    })
    const before = await allRows(db)
    // The pool has one client. If it were not released, the second update would wait for it.
    for (let attempt = 0; attempt < 3; attempt++) {
      const reply = await update(body)
      t.strictSame([reply.statusCode, reply.json()], [400, { success: false, error: 'error-mine' }])
    }
    t.strictSame(await allRows(db), before)
    t.strictSame(await db.rows('SELECT * FROM journal'), [])
  })
}

t.test('beforeCommit sets client_min_messages to error: a warning of COMMIT still arrives', async (t) => {
  const notices: unknown[] = []
  const { update, db } = await build(t, {
    beforeCommit: async (_event, client: Client) => {
      client.on('notice', ({ message }) => { notices.push(message) })
      await client.query("SET client_min_messages TO 'error'")
    }
  })
  await db.exec(`CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'at COMMIT'; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER warn AFTER UPDATE ON omnichannel_contact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn()`)
  t.equal((await update(body)).statusCode, 200)
  t.strictSame(notices, ['at COMMIT'])
})

t.test('the connection is lost in beforeCommit: the update is tried again', async (t) => {
  let calls = 0
  const { update, db } = await build(t, {
    pool: { pipeline: false }, beforeCommit: (_event, client: Client) => { if (++calls === 1) client.connection.stream.destroy() }
  })
  const reply = await update(body, headers)
  t.strictSame([reply.statusCode, reply.headers.etag, calls], [200, '"2"', 2])
  t.equal(await db.value('SELECT count(*) FROM omnichannel_idempotency_key'), 1)
})

t.test('each beforeCommit ends its connection: 503 at the deadline, nothing written, and the attempts have growing pauses', async (t) => {
  const end = async (_event: unknown, client: PoolClient): Promise<void> => { await client.query('SELECT pg_terminate_backend(pg_backend_pid())') }
  const { update, db, eventsBeforeCommit } = await observe(t, { lockTimeout: 1000, beforeCommit: end })
  const before = await allRows(db)
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
  t.strictSame(await allRows(db), before)
  t.ok(eventsBeforeCommit.length < 20, `${eventsBeforeCommit.length} calls`)
})

t.test('beforeCommit answers the request itself: the client gets its answer, and nothing is written', async (t) => {
  const replies: Array<{ code: (status: number) => { send: (body: object) => void } }> = []
  const testServer = await observe(t, {
    host: (app) => { app.addHook('preHandler', async (_request, reply) => { replies.push(reply) }) },
    beforeCommit: async () => {
      replies[0]!.code(202).send({ mine: true })
      await Promise.resolve()
    }
  })
  const before = await allRows(testServer.db)
  const { reply } = (await listen(testServer))(body)
  t.match(await reply, { status: 202, body: { mine: true } })
  t.strictSame(await allRows(testServer.db), before)
  t.strictSame([testServer.eventsAfterCommit, await testServer.leftovers(), testServer.warningTexts()], [[], {}, []])
})

t.test('the deadline of beforeCommit has passed: the contact is not locked any more', async (t) => {
  const { update, db } = await observe(t, { lockTimeout: 1000, beforeCommit: neverEnd })
  t.equal((await update(body)).statusCode, 500)
  await lockMaria(db)
  await db.exec('COMMIT')
  t.strictSame((await update(body)).json(), internalServerError)
})

t.test("beforeCommit makes its client send ROLLBACK before the plugin's COMMIT, without pipelining: 500, nothing written", async (t) => {
  const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts } = await observe(t, {
    pool: { pipeline: false, max: 1 },
    beforeCommit: (_event, client: Client) => {
      const query = client.query.bind(client) as (sent: unknown) => unknown
      client.query = ((sent: { text?: string }) => {
        if (sent.text === 'COMMIT') void query('ROLLBACK')
        return query(sent)
      }) as never
    }
  })
  const before = await allRows(db)
  const reply = await update(body, headers)
  t.strictSame([reply.statusCode, reply.json(), eventsBeforeCommit.length, eventsAfterCommit.length], [500, internalServerError, 1, 0])
  t.match(warningTexts(), [/beforeCommit has ended the transaction/])
  t.strictSame(await allRows(db), before)
})
