// The updates of a batch have savepoints after one has failed after a write, or if the host has a beforeCommit.

import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import omnichannelContacts, { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, build, type Setup, type World } from '../../build.js'
import { openHandle } from '../../handle.js'
import { internal } from '../../refusals.js'
import { replaceClock } from '../../waiting.js'

interface Watched extends World {
  /** The commands since the last call. */
  commands: () => string[]
  /** Sends all at once, and returns the status and the stored name of each. */
  send: (wanted: Record<string, string>) => Promise<Array<[status: number, name: string]>>
}

async function watched (t: Test, setup: Setup = {}, file = ':memory:'): Promise<Watched> {
  const events: string[] = []
  const database = openHandle(file, { verbose: (sql) => { events.push(String(sql)) } })
  database.pragma('journal_mode = WAL')
  const world = await build(t, { database, ...setup })
  database.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('a', 'A'), ('b', 'B'), ('c', 'C'), ('d', 'D');
    CREATE TRIGGER guard AFTER UPDATE OF name ON omnichannel_contact WHEN new.name = 'BAD' BEGIN SELECT RAISE(ABORT, 'no'); END`)
  replaceClock(t)
  events.length = 0
  return {
    ...world,
    commands: () => events.splice(0).filter((sql) => /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)(?! omnichannel_before)/.test(sql)).map((sql) => sql.replace(' omnichannel_update', '')),
    send: async (wanted) => {
      const replies = await Promise.all(Object.entries(wanted).map(async ([contactId, name]) => await world.update({ contactId, name })))
      return replies.map((reply, index) => [
        reply.statusCode,
        database.prepare<[string], string>('SELECT name FROM omnichannel_contact WHERE id = ?').pluck().get(Object.keys(wanted)[index] as string) as string
      ])
    }
  }
}

t.test('updates that succeed, or are refused before a write: no savepoints', async (t) => {
  const { send, commands } = await watched(t)
  t.strictSame(await send({ a: '1', b: '', c: '3' }), [[200, '1'], [400, 'B'], [200, '3']])
  t.strictSame(commands(), ['BEGIN EXCLUSIVE', 'COMMIT'])
})

t.test('an update that fails after a write: the others run again, and are made once', async (t) => {
  const { send, commands, database } = await watched(t)
  t.strictSame(await send({ a: '1', b: 'BAD', c: '3', d: 'BAD' }), [[200, '1'], [500, 'B'], [200, '3'], [500, 'D']])
  t.strictSame(commands(), [
    'BEGIN EXCLUSIVE', 'ROLLBACK', // a and b
    'BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'SAVEPOINT', 'ROLLBACK TO', 'RELEASE', 'COMMIT' // a, c and d
  ])
  t.strictSame(database.prepare("SELECT version FROM omnichannel_contact WHERE id IN ('a', 'b', 'c', 'd')").pluck().all(), [2, 1, 2, 1])
})

t.test('after such a failure: the next thousand updates have savepoints, later ones have none', async (t) => {
  const { send, commands } = await watched(t)
  await send({ a: 'BAD' })
  commands()
  await send({ a: '1', b: '2' })
  t.strictSame(commands(), ['BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'COMMIT'])
  for (let count = 0; count < 250; count++) await send({ a: '1', b: '2', c: '3', d: '4' })
  commands()
  await send({ a: '1', b: '2' })
  t.strictSame(commands(), ['BEGIN EXCLUSIVE', 'COMMIT'])
})

t.test('a single update that fails after a write: rolled back', async (t) => {
  const { update, commands, db } = await watched(t)
  const before = await allRows(db)
  const reply = await update({ contactId: 'a', name: 'BAD', emails: ['a@example.com'] })
  t.strictSame([reply.statusCode, reply.json()], [500, internal])
  t.strictSame(await allRows(db), before)
  t.strictSame(commands(), ['BEGIN EXCLUSIVE', 'ROLLBACK'])
})

t.test('beforeCommit in a batch with failures: called once for each update', async (t) => {
  const called: string[] = []
  const { send, commands } = await watched(t, {
    beforeCommit: ({ contact }) => {
      called.push(contact.name)
      if (contact.name === 'REFUSED') throw new UpdateRefusedError('error-no')
    }
  })
  t.strictSame(await send({ a: '1', b: 'REFUSED', c: 'BAD', d: '4' }), [[200, '1'], [400, 'B'], [500, 'C'], [200, '4']])
  t.strictSame(called, ['1', 'REFUSED', '4'])
  t.strictSame(commands().filter((command) => /^(BEGIN|COMMIT)/.test(command)), ['BEGIN EXCLUSIVE', 'COMMIT'])
})

t.test('an update of another registration fails in the same batch: beforeCommit is not called again', async (t) => {
  const called: string[] = []
  const { app, send, update, commands, database } = await watched(t, {
    late: async (app, { database }) => {
      await app.register(omnichannelContacts, { database, prefix: '/hooked', beforeCommit: ({ contact }) => { called.push(contact.name) } })
    }
  })
  // Both wait for the host's transaction, in this order.
  database.exec('BEGIN')
  const hooked = app.inject({
    method: 'POST', url: '/hooked/omnichannel/contacts.update', headers: as('ann'), payload: { contactId: 'd', name: 'Hooked' }
  })
  await pause(5)
  const bad = update({ contactId: 'c', name: 'BAD' })
  await pause(5)
  database.exec('COMMIT')
  t.strictSame([(await hooked).statusCode, (await bad).statusCode], [200, 500])
  t.strictSame(called, ['Hooked'])
  t.strictSame(commands().slice(2), ['BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'SAVEPOINT', 'ROLLBACK TO', 'RELEASE', 'COMMIT'])
  t.strictSame(await send({ c: '3' }), [[200, '3']])
})

t.test('with a WAL, another connection commits right after BEGIN: the update sees it, and the busy timeout is not changed', async (t) => {
  const file = join(t.testdir(), 'contacts.db')
  let disturb = false
  const events: string[] = []
  const database = openHandle(file, {
    verbose: (sql) => {
      events.push(String(sql))
      if (!disturb || !String(sql).startsWith('DELETE FROM main.omnichannel_migration')) return
      disturb = false
      const other = openHandle(file)
      other.exec("UPDATE omnichannel_contact SET name = 'Other', version = version + 1 WHERE id = 'maria'")
      other.close()
    }
  })
  database.pragma('journal_mode = WAL')
  const { update } = await build(t, { database })
  t.equal((await update({ contactId: 'maria' })).statusCode, 200, 'the first statement may meet a lock')
  events.length = 0
  disturb = true
  const { contact } = (await update({ contactId: 'maria', phones: ['1'] })).json()
  t.match(contact, { name: 'Other', phones: [{ phoneNumber: '1' }] })
  t.strictSame(events.filter((sql) => /^(BEGIN|COMMIT|ROLLBACK|PRAGMA busy)/.test(sql)), ['BEGIN', 'ROLLBACK', 'BEGIN', 'COMMIT'])
})
