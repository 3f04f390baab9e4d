// Many requests wait for the pool, or get their rows at the same time.

import type { Pool } from 'pg'
import { build, rowOfMaria } from '../../helpers/build.js'
import engines, { postgres as t } from '../../helpers/engines.js'
import { knownCaller } from '../../helpers/waiting.js'

t.test('thousands of requests have given up when a client becomes free: 503 each, and the next update is made', async (t) => {
  const { update, database, db } = await build(t, { ...knownCaller, lockTimeout: 200, pool: { max: 1 } })
  const pool = database as unknown as Pool
  const client = await pool.connect()
  const replies = await Promise.all(Array.from({ length: 3000 }, async () => await update({ contactId: 'maria', name: 'Late' })))
  t.strictSame(new Set(replies.map(({ statusCode }) => statusCode)), new Set([503]))
  client.release()
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  t.strictSame([pool.totalCount, pool.idleCount, pool.waitingCount], [1, 1, 0])
  t.match(await rowOfMaria(db), { name: 'Marie', version: 2 })
})

engines.test('several updates with a pattern that never ends: the event loop runs between them', async (t) => {
  const { update, db } = await build(t)
  const contacts = Array.from({ length: 8 }, (_, index) => `contact-${index}`)
  for (const contact of contacts) await db.exec("INSERT INTO omnichannel_contact (id, name) VALUES ($1, 'X')", contact)
  await db.exec("UPDATE omnichannel_custom_field SET regexp = '^(x+)+$' WHERE id = 'note'")
  let turn = 0
  let isOver = false
  const countTurns = (): void => {
    turn++
    if (!isOver) setImmediate(countTurns)
  }
  countTurns()
  /** The texts that were matched in each turn. */
  const matched = new Map<number, Set<string>>()
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { test } = RegExp.prototype
  t.intercept(RegExp.prototype, 'test', {
    value (this: RegExp, text: string) {
      if (text.startsWith('xxxx')) matched.set(turn, (matched.get(turn) ?? new Set()).add(text))
      return test.call(this, text)
    }
  })
  const replies = await Promise.all(contacts.map(async (contactId) =>
    await update({ contactId, customFields: { plan: 'gold', note: `${'x'.repeat(40)} ${contactId}` } })))
  isOver = true
  t.strictSame(replies.map((reply) => reply.json().error), contacts.map(() => 'Invalid value for note field'))
  t.strictSame(new Set([...matched.values()].map(({ size }) => size)), new Set([1]), 'one in a turn')
})
