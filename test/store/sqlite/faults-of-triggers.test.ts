import t from 'tap'
import { allRows, build } from '../../build.js'
import { handleKind, openHandle } from '../../handle.js'
import { until } from '../../waiting.js'

// A trigger of the host can call a function of the host.

const failed = { success: false, error: 'Internal server error' }
const onBlank = "CREATE TRIGGER t AFTER UPDATE ON omnichannel_contact WHEN old.id = 'blank' BEGIN SELECT of_the_host(); END"

t.test("a host's function that throws anything: 500 for the one update, the others are saved", async (t) => {
  const things: Record<string, unknown> = { 'an error': new Error('no'), 'a text': 'no', null: null, undefined }
  for (const [situation, thrown] of Object.entries(things)) {
    const { update, database, db } = await build(t)
    database.function('of_the_host', () => { throw thrown })
    database.exec(onBlank)
    const before = await allRows(db)
    const replies = await Promise.all([
      update({ contactId: 'maria', phones: ['1'] }), update({ contactId: 'blank', name: 'X' }), update({ contactId: 'maria', phones: ['2'] })
    ])
    t.strictSame(replies.map((reply) => reply.statusCode), [200, 500, 200], situation)
    t.strictSame(replies[1].json(), failed)
    t.strictSame((await allRows(db)).omnichannel_contact![0], before.omnichannel_contact![0])
    t.match((await allRows(db)).omnichannel_contact_phone, [{ phone_number: '2' }])
  }
})

t.test("a host's function that asks the same handle, which it cannot: the same", { skip: handleKind === 'node:sqlite' && 'node:sqlite lets it' }, async (t) => {
  const { update, database, db } = await build(t, { lockTimeout: 100 })
  database.function('of_the_host', () => database.prepare('SELECT 1').pluck().get())
  database.exec(onBlank)
  const replies = await Promise.all([
    update({ contactId: 'maria', phones: ['1'] }), update({ contactId: 'blank', name: 'X' }), update({ contactId: 'maria', phones: ['2'] })
  ])
  t.strictSame(replies.map((reply) => reply.statusCode), [200, 500, 200])
  t.strictSame(replies[1].json(), failed)
  t.match((await allRows(db)).omnichannel_contact, [{ name: '', version: 1 }, {}, { id: 'maria', version: 3 }])
})

t.test("a host's trigger that writes to an attached database which somebody has locked: the update waits", async (t) => {
  const audit = `${t.testdir()}/audit.db`
  const other = openHandle(audit)
  t.teardown(() => { other.close() })
  other.exec('CREATE TABLE entry (name TEXT)')
  const log: string[] = []
  const { update, database } = await build(t, { database: openHandle(':memory:', { verbose: (sql) => { log.push(sql as string) } }) })
  database.prepare('ATTACH ? AS audit').run(audit)
  database.exec('CREATE TEMP TRIGGER t AFTER UPDATE ON omnichannel_contact BEGIN INSERT INTO entry VALUES (new.name); END')
  other.exec('BEGIN IMMEDIATE')
  log.length = 0
  let isAnswered = false
  const waiting = ['first', 'second'].map((name) => update({ contactId: 'maria', name }).finally(() => { isAnswered = true }))
  await until(() => log.filter((sql) => sql.startsWith('BEGIN')).length > 2)
  t.equal(isAnswered, false)
  other.exec('COMMIT')
  t.strictSame((await Promise.all(waiting)).map((reply) => reply.statusCode), [200, 200])
  t.strictSame(other.prepare('SELECT name FROM entry').pluck().all(), ['first', 'second'], 'each is noted once')
})

t.test('a host that leaves WAL, and then another connection that locks all readers out', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const log: string[] = []
  const database = openHandle(file, { timeout: 0, verbose: (sql) => { log.push(sql as string) } })
  database.pragma('journal_mode = WAL')
  const { update } = await build(t, { database })
  t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  t.equal(database.pragma('journal_mode = DELETE', { simple: true }), 'delete')
  const other = openHandle(file)
  t.teardown(() => { other.close() })
  other.exec('BEGIN EXCLUSIVE')
  log.length = 0
  const waiting = update({ contactId: 'maria', name: 'Marie' })
  // Each try begins so; it is the look-up of the caller that waits.
  await until(() => log.filter((sql) => sql === 'PRAGMA busy_timeout = 0').length > 2)
  other.exec('COMMIT')
  t.equal((await waiting).json().contact.name, 'Marie')
})
