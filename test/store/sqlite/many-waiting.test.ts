// However many wait, the event loop goes round between them, and they are served in the order of their arrival.

import t, { type Test } from 'tap'
import { build, type Setup, type World } from '../../build.js'
import { openHandle } from '../../handle.js'
import { turns as letTurnsPass, until } from '../../waiting.js'

const crowd = 1000
/** Two turns may fall between two looks: one of a timer, one of an immediate. */
const bound = 100

/** Time passes only when somebody asks for it, so how many fit in a turn does not depend on the speed of the machine. */
function tick (t: Test): void {
  let now = performance.now()
  performance.now = () => { now += 0.1; return now }
  t.teardown(() => { Reflect.deleteProperty(performance, 'now') })
}

interface Answers {
  /** How many were answered in each turn of the event loop. */
  turns: number[]
  order: number[]
  statuses: Set<number>
}

/** Sends all at once while the host is in a transaction, and sees them answered. */
async function answersTo (t: Test, setup: Setup, letGo: (world: World) => void): Promise<Answers> {
  let arrived = 0
  const world = await build(t, { ...setup, host: (app) => { app.addHook('onRequest', async () => { arrived++ }) } })
  const { database, update } = world
  await update({ contactId: 'maria' })
  database.exec('BEGIN')
  const turns: number[] = []
  const order: number[] = []
  const statuses = new Set<number>()
  let isOver = false
  let turn = 0
  const count = (): void => {
    turn++
    if (!isOver) setImmediate(count)
  }
  const replies = Array.from({ length: crowd }, async (_, index) => {
    const { statusCode } = await update({ contactId: 'maria' })
    turns[turn] = (turns[turn] ?? 0) + 1
    order.push(index)
    statuses.add(statusCode)
  })
  count()
  await until(() => arrived === crowd + 1)
  await letTurnsPass(5)
  letGo(world)
  await Promise.all(replies)
  isOver = true
  return { turns: turns.filter((answered) => answered > 0), order, statuses }
}

const inOrder = Array.from({ length: crowd }, (_, index) => index)

for (const [name, setup] of Object.entries({
  'callers that are looked up': {},
  'updates of known callers': { authenticate: () => ({ id: 'ann' }), authorize: () => true }
})) {
  for (const journal of ['WAL', 'DELETE']) {
    t.test(`${name} (${journal}): let go in bounded turns, in order`, async (t) => {
      const database = openHandle(`${t.testdir()}/contacts.db`)
      database.pragma(`journal_mode = ${journal}`)
      const { turns, order, statuses } = await answersTo(t, { database, lockTimeout: 60_000, ...setup }, () => { tick(t); database.exec('COMMIT') })
      t.strictSame([...statuses], [200])
      t.strictSame(order, inOrder)
      t.ok(Math.max(...turns) <= bound, `at most ${Math.max(...turns)} in a turn`)
    })
  }
}

t.test('time is up for all of them at once: refused in bounded turns, in order', async (t) => {
  const { turns, order, statuses } = await answersTo(t, { lockTimeout: 400 }, () => undefined)
  t.strictSame([...statuses], [503])
  t.strictSame(order, inOrder)
  t.ok(Math.max(...turns) <= bound, `at most ${Math.max(...turns)} in a turn`)
})

t.test('the handle is closed under them: refused in bounded turns, in order', async (t) => {
  const { turns, order, statuses } = await answersTo(t, { lockTimeout: 60_000 }, ({ database }) => { database.close() })
  t.strictSame([...statuses], [500])
  t.strictSame(order, inOrder)
  t.ok(Math.max(...turns) <= bound, `at most ${Math.max(...turns)} in a turn`)
})
