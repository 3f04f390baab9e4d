// Updates that arrive together share a transaction, a batch. If the host has a beforeCommit, each update of a batch has a savepoint. Otherwise
// only the updates that follow a failure have one.

import type Database from 'better-sqlite3'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import omnichannelContacts, { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, build, type Setup, type TestServer } from '../../helpers/test-server.js'
import { openHandle } from '../../helpers/open-handle.js'
import { internalServerError } from '../../helpers/refusals.js'
import { stopBatchClock, waitTurns } from '../../helpers/waiting.js'

interface RecordedWorld extends TestServer {
  /** The SQL on the handle and the statuses of the answers, in order. */
  events: string[]
  /** Returns the commands of transactions and the answers since the last call, without the names of savepoints, and forgets them. */
  takeCommands: () => string[]
}

async function buildRecorded (t: Test, setup: Setup = {}): Promise<RecordedWorld> {
  const events: string[] = []
  const database = openHandle(':memory:', { verbose: (sql) => { events.push(String(sql)) } })
  const host = (app: TestServer['app']) => { app.addHook('onSend', async (_request, reply) => { events.push(`answer ${reply.statusCode}`) }) }
  const testServer = await build(t, { database, host, ...setup })
  // The trigger makes an update fail in the way that its name says. An orphan makes COMMIT fail.
  database.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('a', 'A'), ('b', 'B'), ('c', 'C'), ('d', 'D'), ('e', 'E');
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER guard AFTER UPDATE OF name ON omnichannel_contact BEGIN
      SELECT RAISE(ABORT, 'no') WHERE new.name = 'ABORT';
      SELECT RAISE(FAIL, 'no') WHERE new.name = 'FAIL';
      SELECT RAISE(ROLLBACK, 'no') WHERE new.name = 'ROLLBACK';
      INSERT INTO child SELECT 1 WHERE new.name = 'ORPHAN';
    END`)
  stopBatchClock(t)
  events.length = 0
  const isCommand = (event: string): boolean => /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|answer)/.test(event)
  const takeCommands = (): string[] => events.splice(0).filter(isCommand).map((event) => event.replace(/ omnichannel_\w+/, ''))
  return { ...testServer, events, takeCommands }
}

/** The names of the contacts a to e. */
function namesIn (database: Database.Database): Record<string, unknown> {
  const rows = database.prepare('SELECT id, name FROM omnichannel_contact WHERE length(id) = 1 ORDER BY id').raw().all()
  return Object.fromEntries(rows as Array<[string, string]>)
}

/** Sends a new name for each of these contacts, all at once. Returns the new names that were answered, or the bodies of refusals. */
async function send ({ update }: TestServer, newNames: Record<string, string>): Promise<Array<[status: number, nameOrBody: unknown]>> {
  const replies = await Promise.all(Object.entries(newNames).map(([contactId, name]) => update({ contactId, name })))
  return replies.map((reply) => [reply.statusCode, reply.statusCode === 200 ? reply.json().contact.name : reply.json()])
}

t.test('updates that arrive together: share one commit, and are answered after it', async (t) => {
  const testServer = await buildRecorded(t)
  t.strictSame(await send(testServer, { a: '1', b: '2', c: '3', d: '4', e: '5' }), [[200, '1'], [200, '2'], [200, '3'], [200, '4'], [200, '5']])
  t.strictSame(testServer.takeCommands(), ['BEGIN EXCLUSIVE', 'COMMIT', 'answer 200', 'answer 200', 'answer 200', 'answer 200', 'answer 200'])
  t.strictSame(namesIn(testServer.database), { a: '1', b: '2', c: '3', d: '4', e: '5' })
})

t.test('a single update: committed at once, and the next has a commit of its own', async (t) => {
  const testServer = await buildRecorded(t)
  await send(testServer, { a: '1' })
  await send(testServer, { a: '2' })
  t.strictSame(testServer.takeCommands(), ['BEGIN EXCLUSIVE', 'COMMIT', 'answer 200', 'BEGIN EXCLUSIVE', 'COMMIT', 'answer 200'])
})

t.test('updates that take longer together than a batch may: spread over several commits', async (t) => {
  const testServer = await buildRecorded(t)
  let now = 0
  // 5 ms pass with each look at the clock.
  performance.now = () => now += 5
  t.strictSame((await send(testServer, { a: '1', b: '2', c: '3', d: '4', e: '5' })).map(([status]) => status), [200, 200, 200, 200, 200])
  const commits = testServer.events.filter((event) => event === 'COMMIT').length
  t.ok(commits > 1 && commits <= 5, `${commits} commits`)
  t.strictSame(namesIn(testServer.database), { a: '1', b: '2', c: '3', d: '4', e: '5' })
})

t.test('updates of one contact: made in the order of their arrival', async (t) => {
  const { update, database } = await buildRecorded(t)
  const replies = await Promise.all(['1', '2', '3'].map((name) => update({ contactId: 'a', name })))
  t.strictSame(replies.map((reply) => reply.json().contact.name), ['1', '2', '3'])
  t.strictSame(namesIn(database).a, '3')
  t.equal(database.prepare("SELECT version FROM omnichannel_contact WHERE id = 'a'").pluck().get(), 4)
})

t.test('a refusal in a batch: the other updates are made', async (t) => {
  const testServer = await buildRecorded(t)
  t.strictSame(await send(testServer, { a: '1', b: '', c: '3', who: '4', e: '5' }), [
    [200, '1'],
    [400, { success: false, error: 'error-invalid-operation' }],
    [200, '3'],
    [400, { success: false, error: 'error-contact-not-found' }],
    [200, '5']
  ])
  t.strictSame(testServer.takeCommands().slice(0, 2), ['BEGIN EXCLUSIVE', 'COMMIT'], 'no savepoints')
  t.strictSame(namesIn(testServer.database), { a: '1', b: 'B', c: '3', d: 'D', e: '5' })
})

for (const fault of ['ABORT', 'FAIL', 'ROLLBACK']) {
  t.test(`a trigger that raises ${fault} for one contact: only its update fails`, async (t) => {
    const situations: Array<Record<string, string>> = [
      { a: fault }, { a: fault, b: '2', c: '3' }, { a: '1', b: fault, c: '3' }, { a: '1', b: '2', c: fault },
      { a: fault, b: fault, c: '3' }, { a: '1', b: fault, c: fault, d: '4', e: fault }
    ]
    for (const newNames of situations) {
      const testServer = await buildRecorded(t)
      const before = await allRows(testServer.db)
      const answers = Object.values(newNames).map((name) => name === fault ? [500, internalServerError] : [200, name])
      t.strictSame(await send(testServer, newNames), answers, Object.values(newNames).join())
      const changed = Object.entries(newNames).filter(([, name]) => name !== fault)
      t.strictSame(namesIn(testServer.database), { a: 'A', b: 'B', c: 'C', d: 'D', e: 'E', ...Object.fromEntries(changed) })
      if (changed.length === 0) t.strictSame(await allRows(testServer.db), before)
      const versions = testServer.database.prepare('SELECT sum(version - 1) FROM omnichannel_contact').pluck().get()
      t.equal(versions, changed.length, 'each is written once')
      const firstAnswer = testServer.events.findIndex((event) => event === 'answer 200')
      if (changed.length > 0) t.ok(testServer.events.indexOf('COMMIT') < firstAnswer, 'no answer before a COMMIT')
    }
  })
}

t.test('a COMMIT that fails because of one update: 500 for that update, and the others are made once', async (t) => {
  const lines: string[] = []
  const testServer = await buildRecorded(t, { server: { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } } })
  testServer.database.pragma('foreign_keys = ON')
  const before = await allRows(testServer.db)
  t.strictSame(await send(testServer, { b: 'ORPHAN' }), [[500, internalServerError]])
  t.strictSame(await allRows(testServer.db), before)
  t.strictSame(await send(testServer, { a: '1', b: 'ORPHAN', c: '3' }), [[200, '1'], [500, internalServerError], [200, '3']])
  t.strictSame(namesIn(testServer.database), { a: '1', b: 'B', c: '3', d: 'D', e: 'E' })
  t.strictSame(testServer.database.prepare("SELECT version FROM omnichannel_contact WHERE id IN ('a', 'b', 'c') ORDER BY id").pluck().all(), [2, 1, 2])
  t.equal(testServer.database.prepare('SELECT count(*) FROM child').pluck().get(), 0)
  t.equal(testServer.database.inTransaction, false)
  t.equal(lines.filter((line) => line.includes('FOREIGN KEY constraint failed')).length, 2, 'the cause is logged')

  t.strictSame(await send(testServer, { a: '2', c: '4' }), [[200, '2'], [200, '4']], 'the next updates')
})

t.test('an update that fails after a write: the others run again, and are made once', async (t) => {
  const testServer = await buildRecorded(t)
  t.strictSame((await send(testServer, { a: '1', b: 'ABORT', c: '3', d: 'ABORT' })).map(([status]) => status), [200, 500, 200, 500])
  t.strictSame(testServer.takeCommands(), [
    'BEGIN EXCLUSIVE', 'ROLLBACK', 'answer 500', // a and b
    'BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'SAVEPOINT', 'ROLLBACK TO', 'RELEASE', 'COMMIT', // a, c and d
    'answer 200', 'answer 200', 'answer 500'
  ])
  t.strictSame(testServer.database.prepare("SELECT version FROM omnichannel_contact WHERE id IN ('a', 'b', 'c', 'd')").pluck().all(), [2, 1, 2, 1])
})

t.test('an update has failed after a write: the next thousand updates have savepoints, later ones have none', async (t) => {
  const testServer = await buildRecorded(t)
  await send(testServer, { a: 'ABORT' })
  t.strictSame(testServer.takeCommands(), ['BEGIN EXCLUSIVE', 'ROLLBACK', 'answer 500'])
  await send(testServer, { a: '1', b: '2' })
  t.strictSame(testServer.takeCommands(), ['BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'COMMIT', 'answer 200', 'answer 200'])
  for (let count = 0; count < 250; count++) await send(testServer, { a: '1', b: '2', c: '3', d: '4' })
  testServer.takeCommands()
  await send(testServer, { a: '1', b: '2' })
  t.strictSame(testServer.takeCommands(), ['BEGIN EXCLUSIVE', 'COMMIT', 'answer 200', 'answer 200'])
})

t.test('beforeCommit in a batch with failures: called once for each update, and its rows are rolled back with their update', async (t) => {
  const called: string[] = []
  const testServer = await buildRecorded(t, {
    beforeCommit: ({ contact }, connection) => {
      called.push(contact.name)
      connection.exec(`INSERT INTO parent VALUES (${called.length})`)
      if (contact.name === 'REFUSED') throw new UpdateRefusedError('error-no')
      if (contact.name === 'FAILED') throw new Error('no')
    }
  })
  t.strictSame(await send(testServer, { a: '1', b: 'REFUSED', c: 'ABORT', d: 'FAILED', e: '5' }),
    [[200, '1'], [400, { success: false, error: 'error-no' }], [500, internalServerError], [500, internalServerError], [200, '5']])
  t.strictSame(called, ['1', 'REFUSED', 'FAILED', '5'])
  t.strictSame(testServer.database.prepare('SELECT id FROM parent').pluck().all(), [1, 4])
  t.strictSame(namesIn(testServer.database), { a: '1', b: 'B', c: 'C', d: 'D', e: '5' })
  t.strictSame(testServer.takeCommands().filter((command) => /^(BEGIN|COMMIT)/.test(command)), ['BEGIN EXCLUSIVE', 'COMMIT'])
})

/** Two registrations: one with a beforeCommit and one without. `sendBatch` sends an update to each, of which the second fails. */
async function buildTwoRegistrations (t: Test) {
  const called: string[] = []
  const testServer = await buildRecorded(t, {
    afterRegister: async (app, { database }) => {
      await app.register(omnichannelContacts, { database, prefix: '/with-callback', beforeCommit: ({ contact }) => { called.push(contact.name) } })
    }
  })
  const { app, update, database } = testServer
  const sendBatch = async (fault: 'ABORT' | 'ROLLBACK'): Promise<number[]> => {
    // Both wait for the host's transaction, in this order.
    database.exec('BEGIN')
    const withCallback = app.inject({
      method: 'POST', url: '/with-callback/omnichannel/contacts.update', headers: as('ann'), payload: { contactId: 'd', name: 'With callback' }
    })
    await waitTurns(5)
    const failing = update({ contactId: 'c', name: fault })
    await waitTurns(5)
    database.exec('COMMIT')
    return [(await withCallback).statusCode, (await failing).statusCode]
  }
  return { testServer, called, sendBatch }
}

t.test('an update of another registration rolls back the same batch: beforeCommit is called again, and its update is made', async (t) => {
  const { testServer, called, sendBatch } = await buildTwoRegistrations(t)
  t.strictSame(await sendBatch('ROLLBACK'), [200, 500])
  t.strictSame(called, ['With callback', 'With callback'])
  t.strictSame(namesIn(testServer.database), { a: 'A', b: 'B', c: 'C', d: 'With callback', e: 'E' })
})

t.test('an update of another registration fails in the same batch: beforeCommit is not called again', async (t) => {
  const { testServer, called, sendBatch } = await buildTwoRegistrations(t)
  const { takeCommands } = testServer
  t.strictSame(await sendBatch('ABORT'), [200, 500])
  t.strictSame(called, ['With callback'])
  t.strictSame(takeCommands().slice(2, 9), ['BEGIN EXCLUSIVE', 'SAVEPOINT', 'RELEASE', 'SAVEPOINT', 'ROLLBACK TO', 'RELEASE', 'COMMIT'])
  t.strictSame(await send(testServer, { c: '3' }), [[200, '3']])
})

t.test('with a WAL, another connection commits right after BEGIN: the update sees it, and the busy timeout is not changed', async (t) => {
  const file = join(t.testdir(), 'contacts.db')
  let willDisturb = false
  const events: string[] = []
  const database = openHandle(file, {
    verbose: (sql) => {
      events.push(String(sql))
      // This statement takes the write lock. It is the first after BEGIN.
      if (!willDisturb || !String(sql).startsWith('DELETE FROM main.omnichannel_migration')) return
      willDisturb = false
      const other = openHandle(file)
      other.exec("UPDATE omnichannel_contact SET name = 'Other', version = version + 1 WHERE id = 'maria'")
      other.close()
    }
  })
  database.pragma('journal_mode = WAL')
  const { update } = await build(t, { database })
  t.equal((await update({ contactId: 'maria' })).statusCode, 200, 'the first statement may meet a lock')
  events.length = 0
  willDisturb = true
  const { contact } = (await update({ contactId: 'maria', phones: ['1'] })).json()
  t.match(contact, { name: 'Other', phones: [{ phoneNumber: '1' }] })
  t.strictSame(events.filter((sql) => /^(BEGIN|COMMIT|ROLLBACK|PRAGMA busy)/.test(sql)), ['BEGIN', 'ROLLBACK', 'BEGIN', 'COMMIT'])
})
