// A connection that is lost during COMMIT: what became of the update is found out, and it is done once.

import type { Test } from 'tap'
import { allRows, as, build, type Setup, type World } from '../../build.js'
import { postgres as t } from '../../engines.js'
import { backendThatWaits } from '../../postgres.js'
import { openProxy, type Event } from './proxy.js'

async function start (t: Test, events: Event[], { pool, ...setup }: Setup = {}, done?: (world: World) => Promise<void>) {
  const lines: string[] = []
  let happens = false
  const proxy = await openProxy(t, () => happens ? events.shift() : undefined, async () => { await done?.(world) })
  const world = await build(t, {
    pool: { host: proxy.host, ...pool },
    server: { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } },
    ...setup
  })
  happens = true
  const name = async (): Promise<unknown> => await world.db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'")
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
        t.strictSame(await name(), done)
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
  t.strictSame(await name(), { name: 'Maria', version: 1 })
})

t.test('somebody else has written since: nobody can know, and the log says so', async (t) => {
  const later = async ({ db }: World): Promise<void> => { await db.exec("UPDATE omnichannel_contact SET name = 'Later', version = version + 1, update_id = 'later' WHERE id = 'maria'") }
  const { update, name, lines } = await start(t, ['unanswered'], {}, later)
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [500, { success: false, error: 'Internal server error' }])
  t.match(lines, [/FOC_IN_DOUBT/])
  t.strictSame(await name(), { name: 'Later', version: 3 })
})

t.test('somebody else has written since, with a key: the answer that was stored', async (t) => {
  const later = async ({ db }: World): Promise<void> => { await db.exec("UPDATE omnichannel_contact SET name = 'Later', version = version + 1, update_id = 'later' WHERE id = 'maria'") }
  const { update, name, lines } = await start(t, ['unanswered'], {}, later)
  const reply = await update(body, keyed)
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, 'Marie', '"2"'])
  t.strictSame(lines, [])
  t.strictSame(await name(), { name: 'Later', version: 3 })
})

t.test('a neighbour took the version that was lost: it is done after it', async (t) => {
  let neighbour: Promise<unknown> | undefined
  const { update, db, name } = await start(t, ['lost'], {
    beforeCommit: async () => {
      if (neighbour !== undefined) return
      neighbour = update({ contactId: 'maria', name: 'Neighbour' })
      await backendThatWaits(db)
    }
  })
  const reply = await update({ contactId: 'maria', emails: ['x@y'] })
  t.match(await neighbour, { statusCode: 200, headers: { etag: '"2"' } })
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, 'Neighbour', '"3"'])
  t.strictSame(await name(), { name: 'Neighbour', version: 3 })
})

t.test('the contact is gone since: nobody can know', async (t) => {
  const { update, lines } = await start(t, ['unanswered'], {}, async ({ db }) => { await db.exec("DELETE FROM omnichannel_contact WHERE id = 'maria'") })
  t.equal((await update(body)).statusCode, 500)
  t.match(lines, [/FOC_IN_DOUBT/])
})

t.test('the replica stays away: 500 at the deadline, and the log says why', async (t) => {
  const { update, lines } = await start(t, Array<Event>(1000).fill('warned'), { lockTimeout: 300 })
  t.equal((await update(body)).statusCode, 500)
  t.match(lines, [/FOC_IN_DOUBT/])
})

t.test('the server stays away: 500 at the deadline, and the log says why', async (t) => {
  const { update, lines, db } = await start(t, ['gone'], { lockTimeout: 300 })
  const before = await allRows(db)
  t.equal((await update(body)).statusCode, 500)
  t.match(lines, [/FOC_IN_DOUBT/])
  t.notSame(await allRows(db), before)
})

interface Answer {
  statusCode: number
  headers: Record<string, unknown>
}

for (const pipeline of [true, false]) {
  const mode = pipeline ? '' : ', without pipelining'

  for (const addresses of [['second'], ['second', 'third']]) {
    t.test(`${addresses.length} neighbours take the lost version in the same millisecond: each tag is given once, no 200 is lost${mode}`, async (t) => {
      const others: Array<Promise<Answer>> = []
      const told: string[] = []
      const { update, db, lines } = await start(t, ['lost'], {
        pool: { pipeline },
        beforeCommit: async ({ contact }) => {
          if (contact.name !== 'First' || others.length > 0) return
          others.push(...addresses.map(async (address) => await update({ contactId: 'maria', emails: [address] })))
          await backendThatWaits(db, addresses.length)
        },
        onContactUpdated: ({ updateId }) => { told.push(updateId) }
      })
      const now = new Date().toISOString()
      const clock = t.intercept(Date.prototype, 'toISOString', { value: () => now })
      const lost: Answer = await update({ contactId: 'maria', name: 'First' })
      const done = [lost, ...await Promise.all(others)].filter(({ statusCode }) => statusCode === 200)
      clock.restore()
      t.strictSame(done.map(({ headers }) => headers.etag).sort(), done.map((_, index) => `"${index + 2}"`))
      t.match(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), {
        name: done.includes(lost) ? 'First' : 'Maria', version: done.length + 1
      })
      t.strictSame([told.length, new Set(told).size], [done.length, done.length])
      // Once two others have written, the lost one cannot know what became of it.
      t.ok(done.length === addresses.length + 1 || (done.length === 2 && addresses.length === 2))
      t.match(lines, done.includes(lost) ? [] : [/FOC_IN_DOUBT/])
    })
  }

  for (const [what, event] of [['COMMIT did not arrive', 'lost'], ['the answer to COMMIT was cut off', 'unanswered']] as const) {
    t.test(`${what}, and a twin on another node used the key: the stored answer, and one event${mode}`, async (t) => {
      const told: string[] = []
      let twin: Promise<{ statusCode: number, body: string, headers: Record<string, unknown> }> | undefined
      const { update, name, db, lines } = await start(t, [event], {
        pool: { pipeline },
        beforeCommit: async () => {
          if (twin !== undefined) return
          twin = update(body, keyed)
          await backendThatWaits(db)
        },
        onContactUpdated: ({ updateId }) => { told.push(updateId) }
      })
      const reply = await update(body, keyed)
      const other = (await twin)!
      t.strictSame([reply.statusCode, other.statusCode, reply.body, reply.headers.etag, other.headers.etag], [200, 200, other.body, '"2"', '"2"'])
      t.strictSame([reply.headers['idempotency-replayed'], other.headers['idempotency-replayed']].map(String).sort(), ['true', 'undefined'])
      t.strictSame([told.length, await name(), lines], [1, done, []])
    })

    t.test(`${what}, and another request on another node used the key: 422, and nothing of it${mode}`, async (t) => {
      let twin: Promise<{ statusCode: number }> | undefined
      const { update, name, db, lines } = await start(t, [event], {
        pool: { pipeline },
        beforeCommit: async () => {
          if (twin !== undefined) return
          twin = update({ contactId: 'maria', name: 'Twin' }, keyed)
          await backendThatWaits(db)
        }
      })
      const statuses = [(await update(body, keyed)).statusCode, (await twin)!.statusCode]
      t.strictSame(statuses, event === 'lost' ? [422, 200] : [200, 422])
      t.strictSame([await name(), lines], [{ name: event === 'lost' ? 'Twin' : 'Marie', version: 2 }, []])
    })

    const triggers: Record<string, string> = {
      updated_at: "NEW.updated_at := '2026-06-01'",
      version: 'NEW.version := OLD.version + 10',
      'version, which stays': 'NEW.version := OLD.version; NEW.updated_at := OLD.updated_at'
    }
    for (const [column, work] of Object.entries(triggers)) {
      t.test(`${what}, and a trigger sets ${column}: done once${mode}`, async (t) => {
        const told: string[] = []
        const { update, db, lines } = await start(t, [event], {
          pool: { pipeline }, onContactUpdated: ({ updateId }) => { told.push(updateId) }
        })
        await db.exec(`CREATE TABLE journal (name text);
          CREATE FUNCTION host_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${work}; INSERT INTO journal VALUES (NEW.name); RETURN NEW; END $$;
          CREATE TRIGGER host BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION host_work()`)
        const reply = await update(body)
        t.strictSame([reply.statusCode, reply.json().contact?.name, told.length, lines], [200, 'Marie', 1, []])
        t.strictSame(await db.column('SELECT name FROM journal'), ['Marie'])
      })
    }
  }
}
