// Large bodies that arrive at once are parsed one after the other, and the event loop runs between them.

import { build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

const requestCount = 20
const name = 'x'.repeat(200_000)

t.test('many large bodies at once: one is parsed in each turn of the event loop', async (t) => {
  const bytesPerTurn: number[] = []
  let turn = 0
  let isOver = false
  const { update, db } = await build(t, {
    host: (app) => {
      app.addHook('preValidation', async ({ headers }) => { bytesPerTurn[turn] = (bytesPerTurn[turn] ?? 0) + Number(headers['content-length']) })
    }
  })
  const countTurns = (): void => {
    turn++
    if (!isOver) setImmediate(countTurns)
  }
  countTurns()
  const replies = await Promise.all(Array.from({ length: requestCount }, (_, index) => update({ contactId: 'maria', name: `${name}${index}` })))
  isOver = true

  t.strictSame(replies.map(({ statusCode }) => statusCode), Array(requestCount).fill(200))
  const most = Math.max(...bytesPerTurn.filter((bytes) => bytes > 0))
  t.ok(most < 2 * name.length, `at most ${most} bytes in a turn`)
  const row = await db.row("SELECT version, substr(name, 1, 200000) AS start FROM omnichannel_contact WHERE id = 'maria'")
  t.strictSame(row, { version: requestCount + 1, start: name }, 'all were made')
})
