// Whatever the host's pool and its sessions are set to, the answers and the rows are the same.

import fc from 'fast-check'
import pg from 'pg'
import { as, build, changes, fill, rows } from '../../build.js'
import { postgres as t } from '../../engines.js'
import type { PoolSettings } from '../../postgres-handle.js'
import { body } from '../../rules/generated-bodies.js'

const set = (settings: Record<string, string>): string => Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`).join(' ')

const sessions: Record<string, PoolSettings> = {
  'one client': { max: 1 },
  'no pipelining': { pipeline: false, Client: pg.Client },
  'one query after the other': { pipeline: false },
  'one client, one query after the other': { max: 1, pipeline: false },
  'hostile defaults': {
    // What parses or shows a value in another way, for whoever asks it.
    types: { getTypeParser: () => () => 'parsed by the host' },
    defaults: set({
      default_transaction_isolation: 'serializable',
      statement_timeout: '200',
      lock_timeout: '100',
      timezone: 'Asia/Kolkata',
      datestyle: 'German',
      intervalstyle: 'iso_8601',
      bytea_output: 'escape',
      standard_conforming_strings: 'off',
      escape_string_warning: 'off',
      client_min_messages: 'error',
      extra_float_digits: '0'
    })
  }
}

for (const [name, pool] of Object.entries(sessions)) {
  t.test(`${name}: generated updates are answered and written as in the usual session`, async (t) => {
    const [usual, other] = [await build(t), await build(t, { pool })]
    const tables = Object.keys(rows(usual.database)).filter((table) => !/permission|migration/.test(table)).reverse()
    await fc.assert(fc.asyncProperty(fc.array(body, { minLength: 1, maxLength: 3 }), fc.boolean(), async (bodies, isKeyed) => {
      const outcomes = []
      for (const { database, update } of [usual, other]) {
        database.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
        fill(database)
        const before = rows(database)
        const answers = []
        for (const sent of [...bodies, ...bodies]) {
          const { statusCode, body, headers } = await update(sent, { ...as('ann'), ...isKeyed && { 'idempotency-key': JSON.stringify(sent).length.toString() } })
          answers.push([statusCode, body.replace(/"_updatedAt":"[^"]*"/, ''), headers.etag, headers['idempotency-replayed']])
        }
        const { omnichannel_idempotency_key: keys, ...written } = rows(database)
        outcomes.push([answers, keys!.length, changes(before, written)])
      }
      t.strictSame(outcomes[1], outcomes[0])
    }), { numRuns: 15 })
  })
}

t.test('a host whose sessions end statements early: an update waits for as long as lockTimeout says', async (t) => {
  const { update, database } = await build(t, { pool: sessions['hostile defaults']! })
  database.exec("BEGIN; UPDATE omnichannel_contact SET name = 'Held' WHERE id = 'maria'")
  const updating = update({ contactId: 'maria', emails: ['x@y'] })
  await new Promise((resolve) => setTimeout(resolve, 400))
  database.exec('COMMIT')
  const reply = await updating
  t.strictSame([reply.statusCode, reply.json().contact?.name], [200, 'Held'])
})

t.test('an update takes two round trips, and the look-up of its caller one', async (t) => {
  const { update } = await build(t, { pool: { max: 1 } })
  await update({ contactId: 'maria', name: 'Warm' })
  interface Sending { _sentQueryQueue: unknown[], _activeQuery: unknown }
  const { query } = pg.Client.prototype as unknown as { query: (...args: unknown[]) => unknown }
  let trips = 0
  t.intercept(pg.Client.prototype, 'query', {
    value (this: Sending, ...args: unknown[]) {
      // What is sent while nothing is under way begins a trip.
      if (this._sentQueryQueue.length === 0 && this._activeQuery === null) trips++
      return query.apply(this, args)
    }
  })
  const all = {
    contactId: 'maria', name: 'Marie', emails: ['a@b'], phones: ['1'], customFields: { plan: 'silver' }, contactManager: 'ann', wipeConflicts: true
  }
  t.equal((await update(all, { ...as('ann'), 'idempotency-key': 'k' })).statusCode, 200)
  t.equal(trips, 3)
})
