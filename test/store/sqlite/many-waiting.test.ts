// A thousand waiting requests: they are answered in batches, in the order of their arrival, and the event loop runs between the batches.

import t, { type Test } from 'tap'
import { build, type Setup, type World } from '../../helpers/build.js'
import { openHandle } from '../../helpers/handle.js'
import { knownCaller, replaceClock, turns as letTurnsPass, until } from '../../helpers/waiting.js'

const requests = 1000
/** The most answers in one turn of the event loop. Two batches may fall into a turn, one after a timer and one after an immediate. */
const maxAnswers = 100

/** Each look at the clock takes 0.1 ms, so the size of a batch does not depend on the speed of the machine. */
function tick (t: Test): void {
  let now = performance.now()
  replaceClock(t, () => now += 0.1)
}

interface Answers {
  /** How many were answered in each turn of the event loop. */
  turns: number[]
  order: number[]
  statuses: Set<number>
}

/** Sends all requests while the host is in a transaction, and records their answers. */
async function answersTo (t: Test, setup: Setup, endWait: (world: World) => void): Promise<Answers> {
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
  const replies = Array.from({ length: requests }, async (_, index) => {
    const { statusCode } = await update({ contactId: 'maria' })
    turns[turn] = (turns[turn] ?? 0) + 1
    order.push(index)
    statuses.add(statusCode)
  })
  count()
  await until(() => arrived === requests + 1)
  await letTurnsPass(5)
  endWait(world)
  await Promise.all(replies)
  isOver = true
  return { turns: turns.filter((answered) => answered > 0), order, statuses }
}

const inOrder = Array.from({ length: requests }, (_, index) => index)

for (const [name, setup] of Object.entries({
  'callers that are looked up': {},
  'updates of known callers': knownCaller
})) {
  for (const journal of ['WAL', 'DELETE']) {
    t.test(`${name} (${journal}): answered in bounded batches, in order`, async (t) => {
      const database = openHandle(`${t.testdir()}/contacts.db`)
      database.pragma(`journal_mode = ${journal}`)
      const { turns, order, statuses } = await answersTo(t, { database, lockTimeout: 60_000, ...setup }, () => { tick(t); database.exec('COMMIT') })
      t.strictSame([...statuses], [200])
      t.strictSame(order, inOrder)
      t.ok(Math.max(...turns) <= maxAnswers, `at most ${Math.max(...turns)} in a turn`)
    })
  }
}

t.test('one deadline for all of them: 503 in bounded batches, in order', async (t) => {
  const { turns, order, statuses } = await answersTo(t, { lockTimeout: 400 }, () => undefined)
  t.strictSame([...statuses], [503])
  t.strictSame(order, inOrder)
  t.ok(Math.max(...turns) <= maxAnswers, `at most ${Math.max(...turns)} in a turn`)
})

t.test('the handle is closed while they wait: 500 in bounded batches, in order', async (t) => {
  const { turns, order, statuses } = await answersTo(t, { lockTimeout: 60_000 }, ({ database }) => { database.close() })
  t.strictSame([...statuses], [500])
  t.strictSame(order, inOrder)
  t.ok(Math.max(...turns) <= maxAnswers, `at most ${Math.max(...turns)} in a turn`)
})
