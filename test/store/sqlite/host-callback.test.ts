// A beforeCommit of the host misuses its handle or its transaction: 200 still means written, any other answer means that nothing was
// written, and the next update is made.

import type Database from 'better-sqlite3'
import t from 'tap'
import { UpdateRefusedError } from '../../../src/index.js'
import { allRows, as, changes, type Setup } from '../../helpers/build.js'
import { handleKind, openHandle } from '../../helpers/handle.js'
import { internal, observe } from '../../helpers/observed.js'
import { replaceClock, turns } from '../../helpers/waiting.js'

const host: Setup['host'] = (_app, { database }) => { database.exec('CREATE TABLE journal (name TEXT UNIQUE)') }
const body = { contactId: 'maria', name: 'Marie' }
const keyed = { ...as('ann'), 'idempotency-key': 'k' }
type Handle = Database.Database

/** Leaves an iterator open, and returns it, so that it is not collected. */
function leaveOpen (database: Handle, sql: string): Iterator<unknown> {
  const iterator = database.prepare(sql).iterate()
  iterator.next()
  return iterator
}
const kept: Array<Iterator<unknown>> = []
function closeAll (): void {
  for (const iterator of kept.splice(0)) iterator.return!()
}
// better-sqlite3 refuses each command while an iterator is open, node:sqlite only what SQLite refuses.
const refusesReaders = handleKind !== 'node:sqlite'
const many = "SELECT value FROM json_each('[1,2,3,4]')"
const insertReturning = "INSERT INTO journal VALUES ('a'), ('b'), ('c') RETURNING name"
const fail = (): never => { throw new Error('mine') }
const refuse = (): never => { throw new UpdateRefusedError('error-mine') }

const harmful: Record<string, [work: (database: Handle) => unknown, status?: number, body?: object]> = {
  ...refusesReaders && {
    'leaves an iterator open': [(database) => { kept.push(leaveOpen(database, many)) }],
    'leaves an iterator over our rows open': [(database) => { kept.push(leaveOpen(database, 'SELECT * FROM omnichannel_contact')) }],
    'leaves two iterators open': [(database) => { kept.push(leaveOpen(database, many)); kept.push(leaveOpen(database, 'SELECT * FROM omnichannel_contact')) }]
  },
  'leaves an INSERT … RETURNING open': [(database) => { kept.push(leaveOpen(database, insertReturning)) }],
  'leaves an UPDATE … RETURNING open': [(database) => { kept.push(leaveOpen(database, 'UPDATE omnichannel_room SET fname = fname RETURNING id')) }],
  'leaves a DELETE … RETURNING open': [(database) => { kept.push(leaveOpen(database, 'DELETE FROM omnichannel_room RETURNING id')) }],
  'leaves an iterator open and throws': [(database) => { kept.push(leaveOpen(database, many)); fail() }],
  'leaves a RETURNING open and throws': [(database) => { kept.push(leaveOpen(database, insertReturning)); fail() }],
  'leaves an iterator open and refuses': [(database) => { kept.push(leaveOpen(database, many)); refuse() }, 400, { success: false, error: 'error-mine' }],
  'leaves an iterator open and returns a promise': [async (database) => { kept.push(leaveOpen(database, many)); await Promise.resolve() }],
  ROLLBACK: [(database) => database.exec('ROLLBACK')],
  'ROLLBACK; BEGIN': [(database) => database.exec('ROLLBACK; BEGIN')],
  'ROLLBACK; BEGIN, and a savepoint of a guessed name': [(database) => database.exec('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update')],
  'ROLLBACK and a throw': [(database) => { database.exec('ROLLBACK'); fail() }],
  'RELEASE of a guessed savepoint': [(database) => database.exec('RELEASE omnichannel_update')],
  'ROLLBACK TO a guessed savepoint': [(database) => database.exec('ROLLBACK TO omnichannel_update')],
  'a trigger that rolls back': [(database) => database.exec("CREATE TEMP TABLE x (y); CREATE TEMP TRIGGER z BEFORE INSERT ON x BEGIN SELECT RAISE(ROLLBACK, 'mine'); END; INSERT INTO x VALUES (1)")],
  'a failed statement': [(database) => database.exec('INSERT INTO nowhere VALUES (1)')]
}
for (const journal of ['WAL', 'DELETE', 'memory']) {
  for (const [name, [work, status = 500, answer = internal]] of Object.entries(harmful)) {
    t.test(`beforeCommit ${name}, ${journal}: ${status}, nothing written, and the next update is made`, async (t) => {
      let isHarmful = true
      const database = openHandle(journal === 'memory' ? ':memory:' : `${t.testdir()}/contacts.db`)
      if (journal !== 'memory') database.pragma(`journal_mode = ${journal}`)
      database.pragma('busy_timeout = 1234')
      const { update, db, called, notified, complaints, leftovers } = await observe(t, {
        database, host,
        beforeCommit: (_event, handle: Handle) => {
          handle.exec("INSERT INTO journal VALUES ('half')")
          if (isHarmful) return work(handle)
        }
      })
      const before = await allRows(db)
      const reply = await update(body, keyed)
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [status, answer, undefined])
      t.strictSame([called.length, notified], [1, []])
      t.equal(complaints().length, status === 500 ? 1 : 0)
      isHarmful = false
      // An open statement that writes blocks COMMIT.
      if (name.includes('RETURNING')) closeAll()
      const next = await update({ contactId: 'blank', name: 'Blank' })
      t.equal(next.headers.etag, '"2"', 'the next update')
      t.strictSame(changes(before, await allRows(db)), {
        'contact blank': { name: 'Blank', unknown: 0, version: 2, updated_at: 'changed' }, 'room room-3': { fname: 'Blank', updated_at: 'changed' }
      })
      t.strictSame(database.prepare('SELECT name FROM journal').pluck().all(), ['half'])
      t.strictSame([called.length, notified.length, await leftovers(), database.prepare('PRAGMA busy_timeout').pluck().get()], [2, 1, {}, 1234])
      closeAll()
    })
  }
}

const leavesIteratorOpen = { 'an iterator that is left open': (database: Handle) => { kept.push(leaveOpen(database, many)) } }
const rollingBack: Record<string, (database: Handle) => unknown> = {
  ...refusesReaders && leavesIteratorOpen,
  ROLLBACK: (database) => database.exec('ROLLBACK'),
  'ROLLBACK; BEGIN': (database) => database.exec('ROLLBACK; BEGIN'),
  'ROLLBACK; BEGIN; a savepoint of a guessed name': (database) => database.exec('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update'),
  'ROLLBACK; BEGIN; a savepoint of a guessed name, and a throw': (database) => { database.exec('ROLLBACK; BEGIN; SAVEPOINT omnichannel_update'); fail() },
  'ROLLBACK TO a guessed savepoint; COMMIT': (database) => database.exec('ROLLBACK TO omnichannel_update; COMMIT'),
  'a throw': fail,
  'a promise': async () => { await Promise.resolve() }
}
const committing: Record<string, (database: Handle) => unknown> = {
  'a failed statement whose error is caught': (database) => { try { database.exec('INSERT INTO nowhere VALUES (1)') } catch {} },
  ...!refusesReaders && leavesIteratorOpen,
  COMMIT: (database) => database.exec('COMMIT'),
  'COMMIT; BEGIN': (database) => database.exec('COMMIT; BEGIN'),
  'COMMIT and a throw': (database) => { database.exec('COMMIT'); fail() },
  'COMMIT and a refusal': (database) => { database.exec('COMMIT'); refuse() },
  'COMMIT and a promise': async (database) => { database.exec('COMMIT'); await Promise.resolve() },
  'COMMIT; BEGIN; a savepoint of a guessed name': (database) => database.exec('COMMIT; BEGIN; SAVEPOINT omnichannel_update')
}
for (const [name, work] of Object.entries({ ...rollingBack, ...committing })) {
  const isCommitted = name in committing
  for (const at of [0, 2, 4]) {
    for (const isSame of [false, true]) {
      t.test(`${name} in beforeCommit of update ${at} of five in a batch${isSame ? ' for one contact' : ''}: the others are made once`, async (t) => {
        replaceClock(t)
        const { update, database, called, notified, leftovers } = await observe(t, {
          host,
          beforeCommit: ({ contact }, handle: Handle) => {
            handle.prepare('INSERT INTO journal VALUES (?)').run(contact.name)
            if (contact.name === `Name ${at}`) return work(handle)
          }
        })
        database.exec("INSERT INTO omnichannel_contact (id, name) SELECT 'c' || value, '' FROM json_each('[0,1,2,3,4]')")
        const numbers = [0, 1, 2, 3, 4]
        const replies = await Promise.all(numbers.map(async (index) =>
          await update({ contactId: isSame ? 'c0' : `c${index}`, name: `Name ${index}` }, { ...as('ann'), 'idempotency-key': `k${index}` })))
        t.strictSame(replies.map(({ statusCode }) => statusCode), numbers.map((index) => index === at && !isCommitted ? 500 : 200))
        const done = numbers.filter((index) => index !== at || isCommitted)
        t.strictSame(database.prepare('SELECT name FROM journal ORDER BY name').pluck().all(), done.map((index) => `Name ${index}`))
        t.strictSame(database.prepare("SELECT sum(version - 1) FROM omnichannel_contact WHERE id LIKE 'c_'").pluck().get(), done.length)
        t.strictSame(database.prepare('SELECT key FROM omnichannel_idempotency_key ORDER BY key').pluck().all(), done.map((index) => `k${index}`))
        t.strictSame(notified.map(({ contact }) => contact.name).sort(), done.map((index) => `Name ${index}`))
        const stored = database.prepare('SELECT answer FROM omnichannel_idempotency_key WHERE key = ?').pluck()
        for (const index of done) t.equal(replies[index]!.body, stored.get(`k${index}`))
        t.equal(new Set(replies.map(({ headers }) => headers.etag).filter((etag) => etag !== undefined)).size, isSame ? done.length : 1)
        t.strictSame(await leftovers(), {})
        if (isCommitted) t.equal(called.length, 5)
        closeAll()
      })
    }
  }
}

t.test('an open iterator of the host: the update waits for it, and is made', async (t) => {
  for (const sql of ['SELECT * FROM omnichannel_contact', many, "INSERT INTO omnichannel_statistic VALUES ('a', 1), ('b', 2) RETURNING name"]) {
    const { update, database, called, leftovers } = await observe(t)
    const iterator = database.prepare(sql).iterate()
    iterator.next()
    let isAnswered = false
    const reply = update(body, keyed).finally(() => { isAnswered = true })
    await turns(30)
    t.equal(isAnswered, false)
    iterator.return!()
    t.strictSame([(await reply).statusCode, (await reply).headers.etag, called.length, await leftovers()], [200, '"2"', 1, {}])
  }
})

t.test('an iterator of the host that is open past the deadline: 503, and nothing is written', async (t) => {
  const { update, database, db, notified, leftovers } = await observe(t, { lockTimeout: 100 })
  const before = await allRows(db)
  const iterator = database.prepare('SELECT id FROM omnichannel_contact').iterate()
  iterator.next()
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [503, { success: false, error: 'error-database-busy' }])
  if (refusesReaders) t.throws(() => { database.exec("INSERT INTO omnichannel_statistic VALUES ('x', 1)") }, /busy executing a query/, 'better-sqlite3 still refuses writes')
  iterator.return!()
  t.strictSame([await allRows(db), notified, await leftovers()], [before, [], {}])
  t.equal((await update(body)).headers.etag, '"2"')
})

t.test("beforeCommit leaves an iterator open: better-sqlite3 still refuses writes during the host's own", { skip: !refusesReaders && 'node:sqlite does not refuse them' }, async (t) => {
  let isHarmful = true
  const { update, database } = await observe(t, { beforeCommit: (_event, handle: Handle) => { if (isHarmful) kept.push(leaveOpen(handle, many)) } })
  t.equal((await update(body)).statusCode, 500)
  isHarmful = false
  t.equal((await update(body)).statusCode, 200)
  closeAll()
  const iterator = database.prepare('SELECT id FROM omnichannel_contact').iterate()
  iterator.next()
  t.throws(() => { database.exec("INSERT INTO omnichannel_statistic VALUES ('x', 1)") }, /busy executing a query/)
  iterator.return!()
})

for (const [end, status] of [['COMMIT', 200], ['ROLLBACK', 500]] as const) {
  t.test(`${end} in beforeCommit, then another connection takes the lock: each update is made once`, async (t) => {
    replaceClock(t)
    const file = `${t.testdir()}/contacts.db`
    const other = openHandle(file)
    t.teardown(() => { other.close() })
    const { update, database, called, leftovers } = await observe(t, {
      database: openHandle(file), host,
      beforeCommit: ({ contact }, handle: Handle) => {
        handle.prepare('INSERT INTO journal VALUES (?)').run(contact.name)
        if (contact.name !== 'Last') return
        handle.exec(end)
        other.exec('BEGIN EXCLUSIVE')
      }
    })
    const replies = Promise.all([update({ contactId: 'blank', name: 'First' }), update({ contactId: 'maria', name: 'Last' })])
    await turns(20)
    // Overwrites the rows of the updates.
    other.exec("UPDATE omnichannel_contact SET name = name || ' and more', version = version + 1, update_id = NULL; COMMIT")
    t.strictSame((await replies).map(({ statusCode }) => statusCode), [200, status])
    t.strictSame(database.prepare("SELECT id, name, version FROM omnichannel_contact WHERE id IN ('blank', 'maria') ORDER BY id").raw().all(), [
      ['blank', status === 200 ? 'First and more' : 'First', 3], ['maria', status === 200 ? 'Last and more' : 'Maria and more', status === 200 ? 3 : 2]
    ])
    t.strictSame(database.prepare('SELECT name FROM journal ORDER BY name').pluck().all(), status === 200 ? ['First', 'Last'] : ['First'])
    t.strictSame([called.length, await leftovers()], [status === 200 ? 2 : 3, {}])
  })
}
