// Updates share a transaction without savepoints, until one fails after it has written, or the host's own code may refuse.

import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import omnichannelContacts, { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, build, type Setup, type World } from '../../build.js'
import { openHandle } from '../../handle.js'

const failed = { success: false, error: 'Internal server error' }

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
  // A clock that stands still: how many share a turn does not depend on the speed of the machine.
  performance.now = () => 0
  t.teardown(() => { Reflect.deleteProperty(performance, 'now') })
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

t.test('updates that are done, and those that are refused before they write, need none', async (t) => {
  const { send, commands } = await watched(t)
  t.strictSame(await send({ a: '1', b: '', c: '3' }), [[200, '1'], [400, 'B'], [200, '3']])
  t.strictSame(commands(), ['BEGIN EXCLUSIVE', 'COMMIT'])
})

t.test('one that fails after it has written: the others are run again, and each is done once', async (t) => {
  const { send, commands, database } = await watched(t)
  t.strictSame(await send({ a: '1', b: 'BAD', c: '3', d: 'BAD' }), [[200, '1'], [500, 'B'], [200, '3'], [500, 'D']])
  t.strictSame(commands(), [
    'BEGIN EXCLUSIVE', 'ROLLBACK', // a and b
    'BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'SAVEPOINT', 'ROLLBACK TO', 'RELEASE', 'COMMIT' // a, c and d
  ])
  t.strictSame(database.prepare("SELECT version FROM omnichannel_contact WHERE id IN ('a', 'b', 'c', 'd')").pluck().all(), [2, 1, 2, 1])
})

t.test('after such a one the next thousand have savepoints, and then none', async (t) => {
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

t.test('the only one that fails: nothing is left of it', async (t) => {
  const { update, commands, db } = await watched(t)
  const before = await allRows(db)
  const reply = await update({ contactId: 'a', name: 'BAD', emails: ['a@example.com'] })
  t.strictSame([reply.statusCode, reply.json()], [500, failed])
  t.strictSame(await allRows(db), before)
  t.strictSame(commands(), ['BEGIN EXCLUSIVE', 'ROLLBACK'])
})

t.test('beforeCommit is called once for each update, whichever of them fails', async (t) => {
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

t.test('nor is it called again for an update of another registration that fails', async (t) => {
  const called: string[] = []
  const { app, send, update, commands, database } = await watched(t, {
    late: async (app, { database }) => {
      await app.register(omnichannelContacts, { database, prefix: '/hooked', beforeCommit: ({ contact }) => { called.push(contact.name) } })
    }
  })
  // Both stand in line behind the host, in this order.
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

t.test('a beforeCommit that ends the transaction and begins another is found out', async (t) => {
  const { update, database, db } = await watched(t, {
    beforeCommit: ({ contact }, connection) => { if (contact.name === 'Ended') connection.exec('ROLLBACK; BEGIN') }
  })
  const before = await allRows(db)
  const reply = await update({ contactId: 'a', name: 'Ended' })
  t.strictSame([reply.statusCode, reply.json()], [500, failed])
  t.strictSame(await allRows(db), before)
  t.equal(database.inTransaction, false)
  t.equal((await update({ contactId: 'a', name: '1' })).statusCode, 200)
})

t.test('with a WAL the busy timeout is left alone, and a commit of another connection at the last moment is seen', async (t) => {
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
