// A thousand requests wait: they are answered in batches, in the order of their arrival, and the event loop runs between the batches.

import t, { type Test } from 'tap'
import { build, type Setup, type TestServer } from '../../helpers/test-server.js'
import { openHandle } from '../../helpers/open-handle.js'
import { hostUsers, replaceClock, waitTurns, until } from '../../helpers/waiting.js'

const requestCount = 1000
/** The most answers in one turn of the event loop. Two batches may fall into a turn, one after a timer and one after an immediate. */
const maxAnswersPerTurn = 100

/** Each look at the clock takes 0.1 ms, so the size of a batch does not depend on the speed of the machine. */
function slowDownClock (t: Test): void {
  let now = performance.now()
  replaceClock(t, () => now += 0.1)
}

interface Expected {
  status: number
  setup: Setup
  /** Ends the wait. By default the requests wait until their deadline. */
  endWait?: (testServer: TestServer) => void
}

/** Sends all requests while the host is in a transaction, and checks their statuses, their order and the answers in each turn of the event loop. */
async function checkAnswers (t: Test, { status, setup, endWait = () => undefined }: Expected): Promise<void> {
  let arrived = 0
  const testServer = await build(t, { ...setup, host: (app) => { app.addHook('onRequest', async () => { arrived++ }) } })
  const { database, update } = testServer
  await update({ contactId: 'maria' })
  database.exec('BEGIN')
  const answersPerTurn: number[] = []
  const order: number[] = []
  const statuses = new Set<number>()
  let isOver = false
  let turn = 0
  const countTurns = (): void => {
    turn++
    if (!isOver) setImmediate(countTurns)
  }
  const replies = Array.from({ length: requestCount }, async (_, index) => {
    const { statusCode } = await update({ contactId: 'maria' })
    answersPerTurn[turn] = (answersPerTurn[turn] ?? 0) + 1
    order.push(index)
    statuses.add(statusCode)
  })
  countTurns()
  await until(() => arrived === requestCount + 1)
  await waitTurns(5)
  endWait(testServer)
  await Promise.all(replies)
  isOver = true

  t.strictSame([...statuses], [status])
  t.strictSame(order, Array.from({ length: requestCount }, (_, index) => index), 'in order')
  const most = Math.max(...answersPerTurn.filter((count) => count > 0))
  t.ok(most <= maxAnswersPerTurn, `at most ${most} in a turn`)
}

for (const [name, setup] of Object.entries({
  'callers that are looked up': {},
  'updates of users of the host': hostUsers
})) {
  for (const journalMode of ['WAL', 'DELETE']) {
    t.test(`${name}, ${journalMode}, wait for a transaction of the host: answered in bounded batches, in order`, async (t) => {
      const database = openHandle(`${t.testdir()}/contacts.db`)
      database.pragma(`journal_mode = ${journalMode}`)
      await checkAnswers(t, {
        status: 200,
        setup: { database, lockTimeout: 60_000, ...setup },
        endWait: () => {
          slowDownClock(t)
          database.exec('COMMIT')
        }
      })
    })
  }
}

t.test('all of them have the same deadline: 503 in bounded batches, in order', async (t) => {
  await checkAnswers(t, { status: 503, setup: { lockTimeout: 400 } })
})

t.test('the handle is closed while they wait: 500 in bounded batches, in order', async (t) => {
  await checkAnswers(t, { status: 500, setup: { lockTimeout: 60_000 }, endWait: ({ database }) => { database.close() } })
})
