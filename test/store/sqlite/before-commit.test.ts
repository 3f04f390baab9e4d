// A beforeCommit of the host misuses its handle or its transaction: 200 still means written, any other answer means that nothing was
// written, and the next update is made.

import type Database from 'better-sqlite3'
import t from 'tap'
import { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, changes, type Setup } from '../../helpers/test-server.js'
import { handleKind, openHandle } from '../../helpers/open-handle.js'
import { busy, internalServerError, observe } from '../../helpers/observed-server.js'
import { stopBatchClock, waitTurns } from '../../helpers/waiting.js'

/** Creates a table into which `beforeCommit` writes. */
const host: Setup['host'] = (_app, { database }) => { database.exec('CREATE TABLE journal (name TEXT UNIQUE)') }
const body = { contactId: 'maria', name: 'Marie' }
const headers = { ...as('ann'), 'idempotency-key': 'key' }
type Handle = Database.Database
type Callback = (handle: Handle) => unknown

/** Iterators that a `beforeCommit` has left open. Without a reference, the garbage collector could close them. */
const openIterators: Array<Iterator<unknown>> = []

function leaveIteratorOpen (handle: Handle, sql: string): void {
  const iterator = handle.prepare(sql).iterate()
  iterator.next()
  openIterators.push(iterator)
}

function closeIterators (): void {
  for (const iterator of openIterators.splice(0)) iterator.return!()
}

// better-sqlite3 refuses each command while an iterator is open, node:sqlite only what SQLite refuses.
const blocksDuringIteration = handleKind !== 'node:sqlite'
const selectSomeValues = "SELECT value FROM json_each('[1,2,3,4]')"
const insertReturning = "INSERT INTO journal VALUES ('a'), ('b'), ('c') RETURNING name"
const throwError = (): never => { throw new Error('of the host') }
const refuse = (): never => { throw new UpdateRefusedError('error-mine') }

/** A callback that runs SQL, and then ends as `then` does. */
const run = (sql: string, then: () => unknown = () => undefined): Callback => (handle) => {
  handle.exec(sql)
  return then()
}
/** A callback that leaves an iterator open, and then ends as `then` does. */
const iterate = (sql: string, then: () => unknown = () => undefined): Callback => (handle) => {
  leaveIteratorOpen(handle, sql)
  return then()
}

const rollBackInTrigger = `CREATE TEMP TABLE tripwire (value);
  CREATE TEMP TRIGGER roll_back BEFORE INSERT ON tripwire BEGIN SELECT RAISE(ROLLBACK, 'of the host'); END;
  INSERT INTO tripwire VALUES (1)`

/** Callbacks after which the update fails, and the answer. */
const harmful: Record<string, [callback: Callback, status?: number, answer?: object]> = {
  ...blocksDuringIteration && {
    'leaves an iterator open': [iterate(selectSomeValues)],
    'leaves an iterator over the contacts open': [iterate('SELECT * FROM omnichannel_contact')],
    'leaves two iterators open': [(handle) => {
      leaveIteratorOpen(handle, selectSomeValues)
      leaveIteratorOpen(handle, 'SELECT * FROM omnichannel_contact')
    }]
  },
  'leaves an INSERT … RETURNING open': [iterate(insertReturning)],
  'leaves an UPDATE … RETURNING open': [iterate('UPDATE omnichannel_room SET fname = fname RETURNING id')],
  'leaves a DELETE … RETURNING open': [iterate('DELETE FROM omnichannel_room RETURNING id')],
  'leaves an iterator open and throws': [iterate(selectSomeValues, throwError)],
  'leaves a RETURNING open and throws': [iterate(insertReturning, throwError)],
  'leaves an iterator open and refuses': [iterate(selectSomeValues, refuse), 400, { success: false, error: 'error-mine' }],
  'leaves an iterator open and returns a promise': [iterate(selectSomeValues, async () => { await Promise.resolve() })],
  'runs ROLLBACK': [run('ROLLBACK')],
  'runs ROLLBACK; BEGIN': [run('ROLLBACK; BEGIN')],
  'runs ROLLBACK; BEGIN and makes a savepoint with a guessed name': [run('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update')],
  'runs ROLLBACK and throws': [run('ROLLBACK', throwError)],
  'releases a savepoint with a guessed name': [run('RELEASE omnichannel_update')],
  'rolls back to a savepoint with a guessed name': [run('ROLLBACK TO omnichannel_update')],
  'fires a trigger that rolls back': [run(rollBackInTrigger)],
  'runs a statement that fails': [run('INSERT INTO nowhere VALUES (1)')]
}
for (const journalMode of ['WAL', 'DELETE', 'memory']) {
  for (const [what, [callback, status = 500, answer = internalServerError]] of Object.entries(harmful)) {
    t.test(`beforeCommit ${what}, ${journalMode}: ${status}, nothing written, and the next update is made`, async (t) => {
      let isHarmful = true
      const database = openHandle(journalMode === 'memory' ? ':memory:' : `${t.testdir()}/contacts.db`)
      if (journalMode !== 'memory') database.pragma(`journal_mode = ${journalMode}`)
      database.pragma('busy_timeout = 1234')
      const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await observe(t, {
        database, host,
        beforeCommit: (_event, handle: Handle) => {
          handle.exec("INSERT INTO journal VALUES ('half')")
          if (isHarmful) return callback(handle)
        }
      })
      const before = await allRows(db)
      const reply = await update(body, headers)
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [status, answer, undefined])
      t.strictSame([eventsBeforeCommit.length, eventsAfterCommit], [1, []])
      t.equal(warningTexts().length, status === 500 ? 1 : 0)
      isHarmful = false
      // An open statement that writes blocks COMMIT.
      if (what.includes('RETURNING')) closeIterators()
      const next = await update({ contactId: 'blank', name: 'Blank' })
      t.equal(next.headers.etag, '"2"', 'the next update')
      t.strictSame(changes(before, await allRows(db)), {
        'contact blank': { name: 'Blank', unknown: 0, version: 2, updated_at: 'changed' }, 'room room-3': { fname: 'Blank', updated_at: 'changed' }
      })
      t.strictSame(database.prepare('SELECT name FROM journal').pluck().all(), ['half'])
      t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, await leftovers(), database.prepare('PRAGMA busy_timeout').pluck().get()], [2, 1, {}, 1234])
      closeIterators()
    })
  }
}

const iteratorLeftOpen = { 'an iterator that is left open': iterate(selectSomeValues) }
/** Callbacks after which the update is not committed. */
const rollingBack: Record<string, Callback> = {
  ...blocksDuringIteration && iteratorLeftOpen,
  ROLLBACK: run('ROLLBACK'),
  'ROLLBACK; BEGIN': run('ROLLBACK; BEGIN'),
  'ROLLBACK; BEGIN and a savepoint with a guessed name': run('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update'),
  'ROLLBACK; BEGIN, a savepoint with a guessed name and an error': run('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update', throwError),
  'ROLLBACK TO a savepoint with a guessed name, and COMMIT': run('ROLLBACK TO omnichannel_update; COMMIT'),
  'an error': throwError,
  'a promise': async () => { await Promise.resolve() }
}
/** Callbacks after which the update is committed, in some cases by the callback itself. */
const committing: Record<string, Callback> = {
  'a failed statement whose error is caught': (handle) => { try { handle.exec('INSERT INTO nowhere VALUES (1)') } catch {} },
  ...!blocksDuringIteration && iteratorLeftOpen,
  COMMIT: run('COMMIT'),
  'COMMIT; BEGIN': run('COMMIT; BEGIN'),
  'COMMIT and an error': run('COMMIT', throwError),
  'COMMIT and a refusal': run('COMMIT', refuse),
  'COMMIT and a promise': run('COMMIT', async () => { await Promise.resolve() }),
  'COMMIT; BEGIN and a savepoint with a guessed name': run('COMMIT; BEGIN; SAVEPOINT omnichannel_update')
}
for (const [what, callback] of Object.entries({ ...rollingBack, ...committing })) {
  const isCommitted = what in committing
  // The first, the third and the last update of the batch.
  for (const position of [0, 2, 4]) {
    for (const hasOneContact of [false, true]) {
      t.test(`${what} in beforeCommit of update ${position} of five in a batch${hasOneContact ? ' for one contact' : ''}: the others are made once`, async (t) => {
        stopBatchClock(t)
        const { update, database, eventsBeforeCommit, eventsAfterCommit, leftovers } = await observe(t, {
          host,
          beforeCommit: ({ contact }, handle: Handle) => {
            handle.prepare('INSERT INTO journal VALUES (?)').run(contact.name)
            if (contact.name === `Name ${position}`) return callback(handle)
          }
        })
        database.exec("INSERT INTO omnichannel_contact (id, name) SELECT 'c' || value, '' FROM json_each('[0,1,2,3,4]')")
        const numbers = [0, 1, 2, 3, 4]
        const replies = await Promise.all(numbers.map(async (number) => {
          const contactId = hasOneContact ? 'c0' : `c${number}`
          return await update({ contactId, name: `Name ${number}` }, { ...as('ann'), 'idempotency-key': `key-${number}` })
        }))
        t.strictSame(replies.map(({ statusCode }) => statusCode), numbers.map((number) => number === position && !isCommitted ? 500 : 200))
        const committed = numbers.filter((number) => number !== position || isCommitted)
        const names = committed.map((number) => `Name ${number}`)
        t.strictSame(database.prepare('SELECT name FROM journal ORDER BY name').pluck().all(), names)
        t.strictSame(database.prepare("SELECT sum(version - 1) FROM omnichannel_contact WHERE id LIKE 'c_'").pluck().get(), committed.length)
        t.strictSame(database.prepare('SELECT key, answer FROM omnichannel_idempotency_key ORDER BY key').raw().all(),
          committed.map((number) => [`key-${number}`, replies[number]!.body]))
        t.strictSame(eventsAfterCommit.map(({ contact }) => contact.name).sort(), names)
        const etags = new Set(committed.map((number) => replies[number]!.headers.etag))
        t.equal(etags.size, hasOneContact ? committed.length : 1)
        t.strictSame(await leftovers(), {})
        if (isCommitted) t.equal(eventsBeforeCommit.length, 5)
        closeIterators()
      })
    }
  }
}

t.test('an open iterator of the host: the update waits for it, and is made', async (t) => {
  const insertIntoStatistic = "INSERT INTO omnichannel_statistic VALUES ('a', 1), ('b', 2) RETURNING name"
  for (const sql of ['SELECT * FROM omnichannel_contact', selectSomeValues, insertIntoStatistic]) {
    const { update, database, eventsBeforeCommit, leftovers } = await observe(t)
    const iterator = database.prepare(sql).iterate()
    iterator.next()
    let isAnswered = false
    const reply = update(body, headers).finally(() => { isAnswered = true })
    await waitTurns(30)
    t.equal(isAnswered, false)
    iterator.return!()
    t.strictSame([(await reply).statusCode, (await reply).headers.etag, eventsBeforeCommit.length, await leftovers()], [200, '"2"', 1, {}])
  }
})

t.test('an iterator of the host that is open past the deadline: 503, and nothing is written', async (t) => {
  const { update, database, db, eventsAfterCommit, leftovers } = await observe(t, { lockTimeout: 100 })
  const before = await allRows(db)
  const iterator = database.prepare('SELECT id FROM omnichannel_contact').iterate()
  iterator.next()
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
  if (blocksDuringIteration) {
    t.throws(() => { database.exec("INSERT INTO omnichannel_statistic VALUES ('x', 1)") }, /busy executing a query/, 'better-sqlite3 still refuses writes')
  }
  iterator.return!()
  t.strictSame([await allRows(db), eventsAfterCommit, await leftovers()], [before, [], {}])
  t.equal((await update(body)).headers.etag, '"2"')
})

const skipUnlessBlocked = !blocksDuringIteration && 'node:sqlite does not refuse writes'
t.test('beforeCommit has left an iterator open, which is closed: better-sqlite3 again refuses writes while the host reads rows', { skip: skipUnlessBlocked }, async (t) => {
  let isHarmful = true
  const beforeCommit = (_event: unknown, handle: Handle): void => { if (isHarmful) leaveIteratorOpen(handle, selectSomeValues) }
  const { update, database } = await observe(t, { beforeCommit })
  t.equal((await update(body)).statusCode, 500)
  isHarmful = false
  t.equal((await update(body)).statusCode, 200)
  closeIterators()
  const iterator = database.prepare('SELECT id FROM omnichannel_contact').iterate()
  iterator.next()
  t.throws(() => { database.exec("INSERT INTO omnichannel_statistic VALUES ('x', 1)") }, /busy executing a query/)
  iterator.return!()
})

for (const [end, lastStatus] of [['COMMIT', 200], ['ROLLBACK', 500]] as const) {
  const isCommitted = lastStatus === 200
  t.test(`${end} in beforeCommit of the last update of a batch, then another connection takes the lock: each update is made once`, async (t) => {
    stopBatchClock(t)
    const file = `${t.testdir()}/contacts.db`
    const other = openHandle(file)
    t.teardown(() => { other.close() })
    const { update, database, eventsBeforeCommit, leftovers } = await observe(t, {
      database: openHandle(file), host,
      beforeCommit: ({ contact }, handle: Handle) => {
        handle.prepare('INSERT INTO journal VALUES (?)').run(contact.name)
        if (contact.name !== 'Last') return
        handle.exec(end)
        other.exec('BEGIN EXCLUSIVE')
      }
    })
    const replies = Promise.all([update({ contactId: 'blank', name: 'First' }), update({ contactId: 'maria', name: 'Last' })])
    await waitTurns(20)
    // Overwrites the rows of the updates.
    other.exec("UPDATE omnichannel_contact SET name = name || ' and more', version = version + 1, update_id = NULL; COMMIT")
    t.strictSame((await replies).map(({ statusCode }) => statusCode), [200, lastStatus])
    // ROLLBACK undoes the first update as well, which is made again after the other connection has written.
    t.strictSame(database.prepare("SELECT id, name, version FROM omnichannel_contact WHERE id IN ('blank', 'maria') ORDER BY id").raw().all(),
      isCommitted ? [['blank', 'First and more', 3], ['maria', 'Last and more', 3]] : [['blank', 'First', 3], ['maria', 'Maria and more', 2]])
    t.strictSame(database.prepare('SELECT name FROM journal ORDER BY name').pluck().all(), isCommitted ? ['First', 'Last'] : ['First'])
    t.strictSame([eventsBeforeCommit.length, await leftovers()], [isCommitted ? 2 : 3, {}])
  })
}
