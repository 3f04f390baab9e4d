import type { PoolClient } from 'pg'
import { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, build, type Setup } from '../../build.js'
import { postgres as t } from '../../engines.js'

// beforeCommit as on SQLite, but awaited, and with the client that is in the transaction.

const host: Setup['host'] = async (_app, { db }) => { await db.exec('CREATE TABLE journal (name text NOT NULL UNIQUE)') }
const body = { contactId: 'maria', name: 'Marie' }
const internal = { success: false, error: 'Internal server error' }

for (const pipeline of [true, false]) {
  const mode = pipeline ? '' : ', without pipelining'

  t.test(`it is awaited, sees the rows, and writes into the same transaction${mode}`, async (t) => {
    let seen: unknown
    const { update, db } = await build(t, {
      host,
      pool: { pipeline },
      beforeCommit: async ({ contact, previous }, client: PoolClient) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        seen = (await client.query<{ name: string }>("SELECT name FROM omnichannel_contact WHERE id = 'maria'")).rows
        await client.query('INSERT INTO journal VALUES ($1)', [`${previous.name} → ${contact.name}`])
      }
    })
    const reply = await update(body, { ...as('ann'), 'idempotency-key': 'k' })
    t.strictSame([reply.statusCode, seen], [200, [{ name: 'Marie' }]])
    t.strictSame(await db.column('SELECT name FROM journal'), ['Maria → Marie'])
    t.equal(await db.value('SELECT answer FROM omnichannel_idempotency_key'), reply.body)
  })

  const failing: Array<[situation: string, hook: (client: PoolClient) => Promise<void> | void, status: number, answer: object]> = [
    ['it refuses', () => { throw new UpdateRefusedError('error-mine') }, 400, { success: false, error: 'error-mine' }],
    ['it refuses later', async (client) => {
      await client.query("INSERT INTO journal VALUES ('half')")
      throw new UpdateRefusedError('error-mine')
    }, 400, { success: false, error: 'error-mine' }],
    ['it fails', () => { throw new Error('secret') }, 500, internal],
    ['its SQL fails', async (client) => { await client.query('SELECT 1 / 0') }, 500, internal],
    ['its SQL fails, and it says nothing of it', async (client) => { await client.query('SELECT 1 / 0').catch(() => undefined) }, 500, internal],
    ['it ends the transaction', async (client) => { await client.query('ROLLBACK') }, 500, internal]
  ]
  for (const [situation, hook, status, answer] of failing) {
    t.test(`${situation}: ${status}, and neither side's rows are there${mode}`, async (t) => {
      const { update, db } = await build(t, {
        host, pool: { pipeline, max: 1 }, beforeCommit: async (_event, client: PoolClient) => { await hook(client) }
      })
      const before = await allRows(db)
      for (let time = 0; time < 3; time++) {
        const reply = await update(body)
        t.strictSame([reply.statusCode, reply.json()], [status, answer])
      }
      t.strictSame(await allRows(db), before)
      t.strictSame(await db.rows('SELECT * FROM journal'), [])
    })
  }
}

t.test('the connection is lost after it, before COMMIT is sent: the update is begun again', async (t) => {
  let calls = 0
  const { update, db } = await build(t, {
    pool: { pipeline: false },
    beforeCommit: (_event, client: PoolClient & { connection: { stream: { destroy: () => void } } }) => {
      if (++calls === 1) client.connection.stream.destroy()
    }
  })
  const reply = await update(body, { ...as('ann'), 'idempotency-key': 'k' })
  t.strictSame([reply.statusCode, reply.headers.etag, calls], [200, '"2"', 2])
  t.equal(await db.value('SELECT count(*) FROM omnichannel_idempotency_key'), 1)
})

t.test('a deadlock of its making: the update is begun again', async (t) => {
  let calls = 0
  const { update, db } = await build(t, {
    host,
    beforeCommit: async (_event, client: PoolClient) => {
      if (++calls === 1) await client.query("DO $$ BEGIN RAISE 'deadlock detected' USING ERRCODE = '40P01'; END $$")
      await client.query("INSERT INTO journal VALUES ('once')")
    }
  })
  t.equal((await update(body)).headers.etag, '"2"')
  t.equal(calls, 2)
  t.strictSame(await db.column('SELECT name FROM journal'), ['once'])
})
