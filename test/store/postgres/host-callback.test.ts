// A beforeCommit of the host misuses its client or its transaction, or takes too long: 200 still means written, and any other answer means
// that nothing was written.

import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PoolClient } from 'pg'
import { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, build, changes, holdMaria, type Setup } from '../../helpers/build.js'
import { postgres as t } from '../../helpers/engines.js'
import { listen, observe } from '../../helpers/observed.js'
import { internal } from '../../helpers/refusals.js'
import { signal, turns } from '../../helpers/waiting.js'

const host: Setup['host'] = async (_app, { db }) => { await db.exec('CREATE TABLE journal (name text UNIQUE)') }
const body = { contactId: 'maria', name: 'Marie' }
const keyed = { ...as('ann'), 'idempotency-key': 'k' }
type Client = PoolClient & { end: () => Promise<void>, connection: { stream: { destroy: () => void } } }

/** What the callback does, and the message in the log. */
const harmful: Record<string, [work: (client: Client) => unknown, logged: RegExp]> = {
  ROLLBACK: [async (client) => { await client.query('ROLLBACK') }, /ended the transaction/],
  'ROLLBACK; BEGIN': [async (client) => { await client.query('ROLLBACK; BEGIN') }, /ended the transaction/],
  'ROLLBACK AND CHAIN': [async (client) => { await client.query('ROLLBACK AND CHAIN') }, /ended the transaction/],
  'ROLLBACK and a write of its own': [async (client) => { await client.query('ROLLBACK; BEGIN; SELECT 1') }, /ended the transaction/],
  'ROLLBACK, and then it throws': [async (client) => { await client.query('ROLLBACK'); throw new Error('late') }, /late/],
  'ROLLBACK, not awaited': [(client) => { void client.query('ROLLBACK') }, /ended the transaction/],
  'ABORT; BEGIN, and a savepoint of another name': [async (client) => { await client.query('ABORT; BEGIN; SAVEPOINT mine') }, /ended the transaction/],
  'ROLLBACK; BEGIN, and a savepoint of our name': [async (client) => { await client.query('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update') }, /ended the transaction/],
  'PREPARE TRANSACTION': [async (client) => { await client.query("PREPARE TRANSACTION 'x'") }, /prepared transactions are disabled|beforeCommit/],
  'release()': [(client) => { client.release() }, /released its client/],
  'release(true)': [(client) => { client.release(true) }, /released its client/],
  'release() and a query later': [async (client) => { client.release(); await client.query('SELECT 1') }, /released its client/],
  'end()': [async (client) => { await client.end() }, /or ended it/],
  'end(), not awaited': [(client) => { void client.end() }, /or ended it/],
  'a failed query': [async (client) => { await client.query('SELECT 1/0') }, /division by zero/],
  'a failed query whose error is swallowed': [async (client) => { await client.query('SELECT 1/0').catch(() => undefined) }, /let the transaction fail/],
  'two failed queries whose errors are swallowed': [async (client) => {
    for (const sql of ['SELECT 1/0', 'SELECT 1']) await client.query(sql).catch(() => undefined)
  }, /let the transaction fail/],
  'a failed query that is not awaited': [(client) => { client.query('SELECT 1/0').catch(() => undefined) }, /let the transaction fail/],
  'a failed query behind others that are not awaited': [(client) => {
    for (const sql of ['SELECT 1', 'SELECT pg_sleep(0.05)', 'SELECT 1/0']) client.query(sql).catch(() => undefined)
  }, /let the transaction fail/],
  'RELEASE of our savepoint': [async (client) => { await client.query('RELEASE SAVEPOINT omnichannel_update') }, /beforeCommit|savepoint/],
  ...Object.fromEntries(['ECONNREFUSED', 'ENOENT', 'ETIMEDOUT', 'ECONNRESET', 'EPIPE', '57P01', '40001', '08006', '53300', '55P03'].map((code) => [
    `an error of its own with the code ${code}`, [() => { throw Object.assign(new Error(`mine: ${code}`), { code }) }, new RegExp(`mine: ${code}`)]
  ])),
  'a file that is not there': [async () => { await readFile('/no/such/file') }, /ENOENT/],
  'a fetch that fails': [async () => { await fetch('http://127.0.0.1:1/') }, /fetch failed/],
  'an error with a message of node-postgres': [() => { throw new Error('Connection terminated unexpectedly') }, /Connection terminated unexpectedly/],
  'a rejection without a reason': [async () => { await Promise.reject(undefined) }, /beforeCommit failed/], // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors
  'an error with a status': [() => { throw Object.assign(new Error('mine'), { statusCode: 404, code: 'FOC_CONTACT_NOT_FOUND' }) }, /mine/]
}
for (const pipeline of [true, false]) {
  const mode = pipeline ? '' : ', without pipelining'

  for (const [name, [work, logged]] of Object.entries(harmful)) {
    t.test(`beforeCommit: ${name}: 500 at once, called once, nothing written${mode}`, async (t) => {
      let isHarmful = true
      const { update, db, called, notified, complaints, leftovers } = await observe(t, {
        host, lockTimeout: 10000,
        pool: { pipeline, max: 1 },
        beforeCommit: async (_event, client: Client) => {
          await client.query("INSERT INTO journal VALUES ('half')")
          if (isHarmful) await work(client)
        }
      })
      const before = await allRows(db)
      const reply = await update(body, keyed)
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [500, internal, undefined])
      t.equal(called.length, 1)
      t.strictSame(await allRows(db), before)
      t.strictSame(await db.rows('SELECT name FROM journal'), [])
      t.match(complaints().filter((line) => !line.includes('a connection to the database was lost')), [logged])
      t.strictSame([notified, await leftovers()], [[], {}])
      isHarmful = false
      t.equal((await update(body, keyed)).headers.etag, '"2"', 'the next is done')
      t.strictSame([called.length, notified.length, await leftovers()], [2, 1, {}])
    })
  }

  const committing: Record<string, (client: Client) => Promise<unknown>> = {
    COMMIT: async (client) => await client.query('COMMIT'),
    'COMMIT; BEGIN': async (client) => await client.query('COMMIT; BEGIN'),
    'COMMIT; BEGIN, and a savepoint of our name': async (client) => await client.query('COMMIT; BEGIN; SAVEPOINT omnichannel_update'),
    'COMMIT; BEGIN, a savepoint of our name, and then it refuses': async (client) => {
      await client.query('COMMIT; BEGIN; SAVEPOINT omnichannel_update')
      throw new UpdateRefusedError('error-late')
    },
    'COMMIT AND CHAIN': async (client) => await client.query('COMMIT AND CHAIN'),
    'COMMIT, and then it throws': async (client) => {
      await client.query('COMMIT')
      throw new Error('late')
    },
    ...Object.fromEntries(['code', 'message'].map((member) => [
      `COMMIT, and then it throws an error whose ${member} cannot be read`, async (client: Client) => {
        await client.query('COMMIT')
        throw Object.defineProperty(new Error('late'), member, { get: () => { throw new Error('of the getter') } })
      }
    ])),
    'COMMIT, and release()': async (client) => {
      await client.query('COMMIT')
      client.release()
    },
    'COMMIT, and then it never resolves': async (client) => {
      await client.query('COMMIT')
      await new Promise(() => undefined)
    },
    'COMMIT, and a query until the deadline, and release()': async (client) => {
      await client.query('COMMIT')
      await client.query('SELECT pg_sleep(1.1)').finally(() => { client.release() })
    },
    'COMMIT, not awaited': async (client) => { client.query('COMMIT').catch(() => undefined) },
    'COMMIT, and a failed query': async (client) => {
      await client.query('COMMIT')
      await client.query('SELECT 1/0')
    },
    'COMMIT, and then it refuses': async (client) => {
      await client.query('COMMIT')
      throw new UpdateRefusedError('error-late')
    }
  }
  for (const [name, work] of Object.entries(committing)) {
    t.test(`beforeCommit: ${name}: 200, because it has committed, and a replay for the same key${mode}`, async (t) => {
      const { update, db, called, notified, leftovers } = await observe(t, {
        lockTimeout: 1000, pool: { pipeline, max: 1 }, beforeCommit: async (_event, client: Client) => { await work(client) }
      })
      const before = await allRows(db)
      const reply = await update(body, keyed)
      t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, 'Marie', '"2"'])
      const { omnichannel_idempotency_key: keys, ...after } = await allRows(db)
      t.match(changes(before, after), { 'contact maria': { name: 'Marie', version: 2 } })
      t.equal(keys?.length, 1)
      const again = await update(body, keyed)
      t.strictSame([again.statusCode, again.body, again.headers['idempotency-replayed']], [200, reply.body, 'true'])
      t.strictSame([called.length, notified.length, await leftovers()], [1, 1, {}])
    })
  }

  let late: Promise<void> | undefined
  const harmless: Record<string, (client: Client) => unknown> = {
    'all prepared statements deallocated': async (client) => await client.query('DEALLOCATE ALL'),
    'BEGIN, which only warns': async (client) => await client.query('BEGIN'),
    'a savepoint of its own, left open': async (client) => await client.query('SAVEPOINT mine'),
    'a savepoint of its own, undone': async (client) => await client.query('SAVEPOINT mine; UPDATE omnichannel_contact SET name = NULL::text || name; ROLLBACK TO mine').catch(async () => await client.query('ROLLBACK TO mine')),
    'ROLLBACK TO our savepoint, and a write of its own': async (client) =>
      await client.query("ROLLBACK TO SAVEPOINT omnichannel_update; INSERT INTO journal VALUES ('again')"),
    'a savepoint of our name': async (client) => await client.query('SAVEPOINT omnichannel_update'),
    'LISTEN and NOTIFY': async (client) => await client.query("LISTEN contacts; NOTIFY contacts, 'x'"),
    'a query that is not awaited': (client) => { void client.query("INSERT INTO journal VALUES ('late')") },
    'many queries that are not awaited': (client) => { for (let index = 0; index < 50; index++) void client.query('INSERT INTO journal VALUES ($1)', [`late ${index}`]) },
    'a cursor that is left open': async (client) => await client.query('DECLARE mine CURSOR FOR SELECT * FROM generate_series(1, 100000)'),
    'constraints that are checked at once': async (client) => await client.query('SET CONSTRAINTS ALL IMMEDIATE'),
    'another client_encoding': async (client) => await client.query("SET client_encoding TO 'LATIN1'"),
    'another client_encoding until COMMIT': async (client) => await client.query("SET LOCAL client_encoding TO 'LATIN1'"),
    'another search_path until COMMIT': async (client) => await client.query('SET LOCAL search_path TO pg_catalog'),
    'another role until COMMIT': async (client) => await client.query('SET LOCAL ROLE pg_read_all_data'),
    'the transaction is read-only from now on': async (client) => await client.query('SET TRANSACTION READ ONLY'),
    'a statement_timeout of a second': async (client) => await client.query('SET LOCAL statement_timeout = 1000'),
    'listeners of its own': (client) => { client.on('error', () => undefined).on('notice', () => undefined) },
    'release() after a query that is not awaited': (client) => { void client.query('SELECT 1').finally(() => { client.release() }) },
    'end() after a query that is not awaited': (client) => { void client.query('SELECT 1').finally(() => { void client.end() }) },
    'release() right after it has ended': (client) => { setImmediate(() => { client.release() }) },
    'release() long after it has ended': (client) => { late = sleep(30).then(() => { client.release() }) },
    'another role from now on': async (client) => await client.query('SET ROLE pg_read_all_data'),
    'another user from now on': async (client) => await client.query('SET SESSION AUTHORIZATION pg_read_all_data'),
    'another search_path from now on': async (client) => await client.query('SET search_path TO pg_catalog'),
    'read-only sessions from now on': async (client) => await client.query('SET default_transaction_read_only = on'),
    'a thenable': () => ({ then: (resolve: (value: unknown) => void) => { resolve(undefined) } })
  }
  for (const [name, work] of Object.entries(harmless)) {
    t.test(`beforeCommit: ${name}: 200, written once, and the next as well${mode}`, async (t) => {
      const { update, db, called, notified, complaints, leftovers } = await observe(t, {
        host, pool: { pipeline, max: 2 }, beforeCommit: async (_event, client: Client) => { await work(client) }
      })
      for (const version of [2, 3]) {
        if (version === 3) await db.exec('DELETE FROM journal')
        // In the beforeCommit of the next update it would be a mistake of that one.
        await late
        const headers = { ...as('ann'), 'idempotency-key': `k${version}` }
        const reply = await update({ contactId: 'maria', name: `Größe ${version} 🙂` }, headers)
        t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, `Größe ${version} 🙂`, `"${version}"`])
        t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: `Größe ${version} 🙂`, version }])
        t.equal((await update({ contactId: 'maria', name: `Größe ${version} 🙂` }, headers)).body, reply.body, 'the stored answer is the same')
      }
      t.strictSame([called.length, notified.length, complaints(), await leftovers()], [2, 2, [], {}])
    })
  }

  const endless: Record<string, (client: Client) => unknown> = {
    'that never resolves': async () => await new Promise(() => undefined),
    'that never resolves, with a query under way': async (client) => {
      client.query('SELECT pg_sleep(60)').catch(() => undefined)
      await new Promise(() => undefined)
    },
    'that has ended the transaction and never resolves': async (client) => {
      await client.query('ROLLBACK')
      await new Promise(() => undefined)
    },
    'that has begun another transaction and never resolves': async (client) => {
      await client.query('ROLLBACK; BEGIN')
      await new Promise(() => undefined)
    },
    'that has released its client and never resolves': async (client) => {
      client.release()
      await new Promise(() => undefined)
    }
  }
  for (const [name, work] of Object.entries(endless)) {
    t.test(`a beforeCommit ${name}: 500 at the deadline, its client is dropped, and the server closes${mode}`, async (t) => {
      const clients: Client[] = []
      const { app, update, db, called, notified, complaints, leftovers } = await observe(t, {
        host, lockTimeout: 1000, pool: { pipeline, max: 1 },
        beforeCommit: async (_event, client: Client) => {
          clients.push(client)
          if (clients.length === 1) await work(client)
        }
      })
      const before = await allRows(db)
      const reply = await update(body, keyed)
      t.strictSame([reply.statusCode, reply.json()], [500, internal])
      t.match(complaints().filter((line) => !line.includes('a connection to the database was lost')), [/beforeCommit has not ended by the deadline/])
      t.strictSame([called.length, notified], [1, []])
      t.strictSame(await leftovers(), {})
      t.strictSame(await allRows(db), before)
      await t.rejects(clients[0]!.query('SELECT 1'), 'its client can do no more')
      t.equal((await update(body, keyed)).headers.etag, '"2"')
      t.not(clients[0], clients[1])
      await app.close()
    })
  }

  t.test(`a beforeCommit that ends after its deadline, with an error: answered once, and the process goes on${mode}`, async (t) => {
    const [late, ended] = [signal(), signal()]
    const { update, db, complaints } = await observe(t, {
      lockTimeout: 1000, pool: { pipeline },
      beforeCommit: async ({ contact }, client: Client) => {
        if (contact.name !== 'Marie') return
        await late.fired
        await client.query("UPDATE omnichannel_contact SET name = 'Late'").finally(ended.fire)
      }
    })
    const before = await allRows(db)
    t.equal((await update(body)).statusCode, 500)
    late.fire()
    await ended.fired
    await turns(2)
    t.strictSame(await allRows(db), before)
    t.equal((await update({ contactId: 'maria', name: 'Mary' })).statusCode, 200)
    t.equal(complaints().filter((line) => line.includes('deadline')).length, 1)
  })

  t.test(`a beforeCommit whose own query is slower than the deadline: not written${mode}`, async (t) => {
    const { update, db, called, complaints, leftovers } = await observe(t, {
      lockTimeout: 1000, pool: { pipeline }, beforeCommit: async (_event, client: Client) => { await client.query('SELECT pg_sleep(10)') }
    })
    const before = await allRows(db)
    const reply = await update(body)
    t.match([reply.statusCode, reply.json()], [/^50[03]$/, { success: false }])
    t.strictSame(await allRows(db), before)
    t.strictSame([called.length, complaints().length, await leftovers()], [1, 1, {}])
  })

  for (const code of ['40001', 'ECONNREFUSED']) {
    t.test(`beforeCommit refuses with an error that has the code ${code}: 400, called once${mode}`, async (t) => {
      const { update, db, called } = await observe(t, {
        pool: { pipeline }, beforeCommit: () => { throw Object.assign(new UpdateRefusedError('error-mine'), { code }) }
      })
      const before = await allRows(db)
      const reply = await update(body)
      t.strictSame([reply.statusCode, reply.json(), called.length], [400, { success: false, error: 'error-mine' }, 1])
      t.strictSame(await allRows(db), before)
    })
  }

  t.test(`beforeCommit refuses, and sends COMMIT after a query that still runs: only 200 means written${mode}`, async (t) => {
    const committed = signal()
    const { update, db, notified } = await observe(t, {
      pool: { pipeline },
      beforeCommit: (_event, client: Client) => {
        void client.query('SELECT pg_sleep(0.05)').then(async () => { await client.query('COMMIT').finally(committed.fire) })
        throw new UpdateRefusedError('no')
      }
    })
    const before = await allRows(db)
    const reply = await update(body)
    await committed.fired
    const { 'contact maria': contact } = changes(before, await allRows(db)) as Record<string, { name?: string } | undefined>
    t.strictSame([reply.statusCode, contact?.name, notified.length], reply.statusCode === 200 ? [200, 'Marie', 1] : [400, undefined, 0])
  })

  t.test(`beforeCommit is too slow, and then the contact is locked for long: 500, and not in doubt${mode}`, async (t) => {
    const reached = signal()
    const { update, db, complaints } = await observe(t, {
      lockTimeout: 500, pool: { pipeline },
      beforeCommit: async () => {
        reached.fire()
        await new Promise(() => undefined)
      }
    })
    const updating = update(body)
    await reached.fired
    await holdMaria(db)
    t.equal((await updating).statusCode, 500)
    await db.exec('ROLLBACK')
    t.match(complaints(), [/beforeCommit has not ended by the deadline/])
    t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Maria')
  })

  t.test(`beforeCommit sends ROLLBACK after it has ended: 200 means written${mode}`, async (t) => {
    const { update, db, called, notified } = await observe(t, {
      pool: { pipeline }, beforeCommit: (_event, client: Client) => { setImmediate(() => { void client.query('ROLLBACK') }) }
    })
    const before = await allRows(db)
    const reply = await update(body)
    const { 'contact maria': contact } = changes(before, await allRows(db))
    t.strictSame([called.length, notified.length, (contact as { name?: string } | undefined)?.name], reply.statusCode === 200 ? [1, 1, 'Marie'] : [1, 0, undefined])
  })

  t.test(`beforeCommit is awaited, sees the rows, and writes into the same transaction${mode}`, async (t) => {
    let seen: unknown
    const { update, db } = await build(t, {
      host,
      pool: { pipeline },
      beforeCommit: async ({ contact, previous }, client: Client) => {
        await turns(5)
        seen = (await client.query<{ name: string }>("SELECT name FROM omnichannel_contact WHERE id = 'maria'")).rows
        await client.query('INSERT INTO journal VALUES ($1)', [`${previous.name} → ${contact.name}`])
      }
    })
    const reply = await update(body, keyed)
    t.strictSame([reply.statusCode, seen], [200, [{ name: 'Marie' }]])
    t.strictSame(await db.column('SELECT name FROM journal'), ['Maria → Marie'])
    t.equal(await db.value('SELECT answer FROM omnichannel_idempotency_key'), reply.body)
  })

  t.test(`beforeCommit refuses, also after a failed query: 400, and neither its rows nor ours are written${mode}`, async (t) => {
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
    for (let time = 0; time < 3; time++) {
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
  const reply = await update(body, keyed)
  t.strictSame([reply.statusCode, reply.headers.etag, calls], [200, '"2"', 2])
  t.equal(await db.value('SELECT count(*) FROM omnichannel_idempotency_key'), 1)
})

t.test('a beforeCommit that answers the request by itself: its answer, and nothing written', async (t) => {
  const replies: Array<{ code: (status: number) => { send: (body: object) => void } }> = []
  const world = await observe(t, {
    host: (app) => { app.addHook('preHandler', async (_request, reply) => { replies.push(reply) }) },
    beforeCommit: async () => {
      replies[0]!.code(202).send({ mine: true })
      await Promise.resolve()
    }
  })
  const before = await allRows(world.db)
  const { reply } = (await listen(world))(body)
  t.match(await reply, { status: 202, body: { mine: true } })
  t.strictSame(await allRows(world.db), before)
  t.strictSame([world.notified, await world.leftovers(), world.complaints()], [[], {}, []])
})

t.test('after the deadline of beforeCommit: the contact is not locked any more', async (t) => {
  const { update, db } = await observe(t, { lockTimeout: 1000, beforeCommit: async () => await new Promise(() => undefined) })
  t.equal((await update(body)).statusCode, 500)
  await holdMaria(db)
  await db.exec('COMMIT')
  t.strictSame((await update(body)).json(), internal)
})

t.test('beforeCommit lets a ROLLBACK go before our COMMIT, without pipelining: 500, nothing written', async (t) => {
  const { update, db, called, notified, complaints } = await observe(t, {
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
  const reply = await update(body, keyed)
  t.strictSame([reply.statusCode, reply.json(), called.length, notified.length], [500, internal, 1, 0])
  t.match(complaints(), [/beforeCommit has ended the transaction/])
  t.strictSame(await allRows(db), before)
})
