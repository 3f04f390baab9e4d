// A connection that is lost during COMMIT: what became of the update is found out, and it is done once.

import type { Test } from 'tap'
import { as, build, rows, type Setup, type World } from '../../build.js'
import { postgres as t } from '../../engines.js'
import { backendThatWaits } from '../../postgres-handle.js'
import { openProxy, type Event } from './proxy.js'

async function start (t: Test, events: Event[], { pool, ...setup }: Setup = {}, done?: (world: World) => void) {
  const lines: string[] = []
  let happens = false
  const proxy = await openProxy(t, () => happens ? events.shift() : undefined, () => { done?.(world) })
  const world = await build(t, {
    pool: { host: proxy.host, ...pool },
    server: { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } },
    ...setup
  })
  happens = true
  const name = (): unknown => world.database.prepare("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'").get()
  return { ...world, lines, name }
}

const body = { contactId: 'maria', name: 'Marie' }
const done = { name: 'Marie', version: 2 }
const keyed = { ...as('ann'), 'idempotency-key': 'k' }

const mended: Array<[situation: string, events: Event[]]> = [
  ['COMMIT did not arrive: it is done anew', ['lost']],
  ['COMMIT did not arrive, four times: it is done anew', ['lost', 'lost', 'lost', 'lost']],
  ['COMMIT was done and its answer cut off: it is done once', ['unanswered']],
  ['COMMIT was done, and the answers to it and to the question about it were cut off', ['unanswered', 'unanswered', 'lost']],
  ['COMMIT was done without its replica, which has come back: it is done once', ['warned', 'warned']],
  ['COMMIT was done and its answer never comes', ['hanging']]
]

for (const pipeline of [true, false]) {
  for (const [situation, events] of mended) {
    for (const headers of [as('ann'), keyed]) {
      t.test(`${situation}${pipeline ? '' : ', without pipelining'}${headers === keyed ? ', with a key' : ''}`, async (t) => {
        const left = [...events]
        const { update, name, lines } = await start(t, left, { pool: { pipeline }, lockTimeout: 400 })
        const reply = await update(body, headers)
        t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, 'Marie', '"2"'])
        t.strictSame(name(), done)
        t.strictSame(left, [], 'all of it happened')
        t.strictSame(lines, [])
      })
    }
  }
}

t.test('nothing was sent that changes anything: 200, however the end of it was lost', async (t) => {
  const { update, name } = await start(t, ['lost', 'unanswered'])
  t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  t.strictSame(name(), { name: 'Maria', version: 1 })
})

t.test('somebody else has written since: nobody can know, and the log says so', async (t) => {
  const later = ({ database }: World): void => { database.exec("UPDATE omnichannel_contact SET name = 'Later', version = version + 1, update_id = 'later' WHERE id = 'maria'") }
  const { update, name, lines } = await start(t, ['unanswered'], {}, later)
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [500, { success: false, error: 'Internal server error' }])
  t.match(lines, [/FOC_IN_DOUBT/])
  t.strictSame(name(), { name: 'Later', version: 3 })
})

t.test('somebody else has written since, with a key: the answer that was stored', async (t) => {
  const later = ({ database }: World): void => { database.exec("UPDATE omnichannel_contact SET name = 'Later', version = version + 1, update_id = 'later' WHERE id = 'maria'") }
  const { update, name, lines } = await start(t, ['unanswered'], {}, later)
  const reply = await update(body, keyed)
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, 'Marie', '"2"'])
  t.strictSame(lines, [])
  t.strictSame(name(), { name: 'Later', version: 3 })
})

t.test('a neighbour took the version that was lost: it is done after it', async (t) => {
  let neighbour: Promise<unknown> | undefined
  const { update, database, name } = await start(t, ['lost'], {
    beforeCommit: async () => {
      if (neighbour !== undefined) return
      neighbour = update({ contactId: 'maria', name: 'Neighbour' })
      await backendThatWaits(database)
    }
  })
  const reply = await update({ contactId: 'maria', emails: ['x@y'] })
  t.match(await neighbour, { statusCode: 200, headers: { etag: '"2"' } })
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, 'Neighbour', '"3"'])
  t.strictSame(name(), { name: 'Neighbour', version: 3 })
})

t.test('the contact is gone since: nobody can know', async (t) => {
  const { update, lines } = await start(t, ['unanswered'], {}, ({ database }) => { database.exec("DELETE FROM omnichannel_contact WHERE id = 'maria'") })
  t.equal((await update(body)).statusCode, 500)
  t.match(lines, [/FOC_IN_DOUBT/])
})

t.test('the replica stays away: 500 at the deadline, and the log says why', async (t) => {
  const { update, lines } = await start(t, Array<Event>(1000).fill('warned'), { lockTimeout: 300 })
  t.equal((await update(body)).statusCode, 500)
  t.match(lines, [/FOC_IN_DOUBT/])
})

t.test('the server stays away: 500 at the deadline, and the log says why', async (t) => {
  const { update, lines, database } = await start(t, ['gone'], { lockTimeout: 300 })
  const before = rows(database)
  t.equal((await update(body)).statusCode, 500)
  t.match(lines, [/FOC_IN_DOUBT/])
  t.notSame(rows(database), before)
})
