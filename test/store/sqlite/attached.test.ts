// Locks on attached files and on files without a WAL: SQLite never sleeps on a lock, so the event loop is not blocked.

import type Database from 'better-sqlite3'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { allRows, type Setup } from '../../helpers/test-server.js'
import { openFile } from '../../helpers/sqlite-files.js'
import { openHandle } from '../../helpers/open-handle.js'
import { busy, observe } from '../../helpers/observed-server.js'
import { waitTurns } from '../../helpers/waiting.js'

const body = { contactId: 'maria', name: 'Marie' }
/** The busy timeout in milliseconds. SQLite would sleep for this time. */
const busyTimeout = 8000
/** In milliseconds. Much shorter than a sleep of SQLite, and longer than any other work takes on a busy machine. */
const maxBlockedMs = busyTimeout / 4

/** How an update uses the attached file. */
interface Use extends Setup {
  /** SQL of the host, which runs after the registration. */
  sql?: string
  /** Whether the attached file is only read. */
  onlyReads?: boolean
}

// Triggers name the table without `side.`: an older SQLite does not allow it there.
const uses: Record<string, Use> = {
  'a temporary trigger': {
    sql: 'CREATE TEMP TRIGGER host AFTER UPDATE ON main.omnichannel_contact BEGIN INSERT INTO journal VALUES (new.name); END'
  },
  beforeCommit: { beforeCommit: ({ contact }, handle: Database.Database) => { handle.prepare('INSERT INTO side.journal VALUES (?)').run(contact.name) } },
  'a temporary trigger that reads': {
    onlyReads: true,
    sql: `CREATE TEMP TRIGGER host AFTER UPDATE ON main.omnichannel_contact BEGIN
      INSERT OR REPLACE INTO omnichannel_statistic SELECT 'journal', count(*) FROM side.journal; END`
  }
}

/** Measures how long the event loop is blocked. Returns a function that stops it, and returns the longest time in milliseconds. */
function measureBlocking (): () => number {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  return () => {
    delay.disable()
    return delay.max / 1e6
  }
}

/** A test server on a file with another file attached. `side` is another connection to the attached file. */
async function start (t: Test, journalMode: string, { sql, ...setup }: Omit<Use, 'onlyReads'>) {
  const folder = t.testdir()
  const side = openHandle(`${folder}/side.db`)
  side.exec('CREATE TABLE journal (name)')
  const database = openHandle(`${folder}/contacts.db`, { timeout: busyTimeout })
  database.pragma(`journal_mode = ${journalMode}`)
  const testServer = await observe(t, {
    ...setup, database,
    host: () => {
      database.exec(`ATTACH '${folder}/side.db' AS side`)
    }
  })
  if (sql !== undefined) database.exec(sql)
  t.teardown(() => { side.close() })
  return { ...testServer, side, stopMeasuring: measureBlocking() }
}

for (const journalMode of ['WAL', 'DELETE']) {
  for (const [use, { onlyReads = false, ...setup }] of Object.entries(uses)) {
    for (const lock of ['BEGIN EXCLUSIVE', ...onlyReads ? [] : ['BEGIN IMMEDIATE']]) {
      t.test(`${use} meets ${lock} of an attached file, ${journalMode}: the update waits for the lock, and is made once`, async (t) => {
        const { update, db, side, stopMeasuring, eventsAfterCommit, leftovers } = await start(t, journalMode, { ...setup, lockTimeout: 20_000 })
        side.exec(lock)
        let isAnswered = false
        const waiting = update(body).finally(() => { isAnswered = true })
        const updateOfOther = update({ contactId: 'blank', phones: ['1'] })
        await pause(300)
        t.equal(isAnswered, false)
        side.exec('COMMIT')
        const reply = await waiting
        t.strictSame([reply.statusCode, reply.headers.etag, (await updateOfOther).statusCode], [200, '"2"', 200])
        const blockedMs = stopMeasuring()
        t.ok(blockedMs < maxBlockedMs, `the event loop was blocked for ${blockedMs} ms`)
        if (!onlyReads) t.strictSame(side.prepare("SELECT count(*) FROM journal WHERE name = 'Marie'").pluck().get(), 1)
        t.equal(eventsAfterCommit.length, 2)
        t.match((await allRows(db)).omnichannel_contact, [{ version: 2 }, {}, { name: 'Marie', version: 2 }])
        t.strictSame(await leftovers(), {})
      })

      t.test(`${use} meets ${lock} of an attached file, ${journalMode}, past the deadline: 503, nothing written`, async (t) => {
        const { update, db, side, stopMeasuring, eventsAfterCommit, leftovers } = await start(t, journalMode, { ...setup, lockTimeout: 300 })
        const before = await allRows(db)
        side.exec(lock)
        const reply = await update(body)
        t.strictSame([reply.statusCode, reply.json(), reply.headers['retry-after']], [503, busy, '1'])
        const blockedMs = stopMeasuring()
        t.ok(blockedMs < maxBlockedMs, `the event loop was blocked for ${blockedMs} ms`)
        side.exec('COMMIT')
        t.strictSame([await allRows(db), eventsAfterCommit, await leftovers()], [before, [], {}])
        t.equal((await update(body)).headers.etag, '"2"')
      })
    }
  }
}

for (const journalMode of ['WAL', 'DELETE']) {
  t.test(`beforeCommit of one update meets the lock of an attached file, ${journalMode}: the updates behind it do not wait for it`, async (t) => {
    const { update, side, eventsBeforeCommit, eventsAfterCommit } = await start(t, journalMode, {
      lockTimeout: 20_000,
      beforeCommit: ({ contact }, handle: Database.Database) => {
        if (contact._id === 'maria') handle.prepare('INSERT INTO side.journal VALUES (?)').run(contact.name)
      }
    })
    side.exec('BEGIN IMMEDIATE')
    const waiting = update(body)
    for (const phone of ['1', '2', '3']) t.equal((await update({ contactId: 'blank', phones: [phone] })).statusCode, 200)
    t.strictSame([eventsBeforeCommit[0]?.contact._id, eventsAfterCommit.map(({ contact }) => contact._id)], ['maria', ['blank', 'blank', 'blank']])
    side.exec('COMMIT')
    t.equal((await waiting).headers.etag, '"2"')
    t.equal(side.prepare('SELECT count(*) FROM journal').pluck().get(), 1)
  })
}

/** Locks of another connection, and the SQL that takes them. */
const locks = { 'a writer': 'BEGIN IMMEDIATE', 'a reader': 'BEGIN; SELECT * FROM journal' }
for (const journalMode of ['WAL', 'DELETE']) {
  for (const [owner, lockSql] of Object.entries(locks)) {
    t.test(`beforeCommit attaches a file itself, ${journalMode}, and meets the lock of ${owner}: the update waits without sleeping, and is made once`, async (t) => {
      const folder = t.testdir()
      const side = openFile(t, `${folder}/side.db`)
      side.exec('CREATE TABLE journal (name)')
      const database = openFile(t, `${folder}/contacts.db`, { timeout: busyTimeout })
      database.pragma(`journal_mode = ${journalMode}`)
      const { update, db, eventsAfterCommit, leftovers } = await observe(t, {
        database, lockTimeout: 20_000,
        beforeCommit: ({ contact }, handle: Database.Database) => {
          const isAttached = handle.prepare("SELECT 1 FROM pragma_database_list WHERE name = 'side'").get() !== undefined
          if (!isAttached) handle.exec(`ATTACH '${folder}/side.db' AS side`)
          handle.prepare('INSERT INTO side.journal VALUES (?)').run(contact.name)
        }
      })
      side.exec(lockSql)
      let isAnswered = false
      const start = performance.now()
      const waiting = update(body).finally(() => { isAnswered = true })
      await waitTurns(100)
      t.equal(isAnswered, false)
      t.ok(performance.now() - start < maxBlockedMs, 'the event loop went on')
      side.exec('COMMIT')
      t.strictSame([(await waiting).statusCode, (await waiting).headers.etag], [200, '"2"'])
      t.equal(side.prepare('SELECT count(*) FROM journal').pluck().get(), 1)
      t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 2 }])
      t.strictSame([eventsAfterCommit.length, await leftovers()], [1, {}])
    })
  }
}

t.test('the host leaves the WAL after the registration: an update never sleeps', async (t) => {
  for (const lock of ['BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE']) {
    const file = `${t.testdir()}/contacts.db`
    const database = openHandle(file, { timeout: busyTimeout })
    database.pragma('journal_mode = WAL')
    const { update, eventsAfterCommit, leftovers } = await observe(t, { database, lockTimeout: 300 })
    t.equal((await update(body)).statusCode, 200)
    for (const mode of ['DELETE', 'TRUNCATE', 'PERSIST']) {
      t.equal(database.pragma(`journal_mode = ${mode}`, { simple: true }), mode.toLowerCase())
      const other = openHandle(file)
      other.exec(lock)
      const stopMeasuring = measureBlocking()
      const reply = await update(body)
      const blockedMs = stopMeasuring()
      t.strictSame([reply.statusCode, reply.json()], [503, busy])
      t.ok(blockedMs < maxBlockedMs, `${mode}: ${blockedMs} ms`)
      other.exec('COMMIT')
      other.close()
      t.equal((await update(body)).statusCode, 200)
    }
    t.strictSame([eventsAfterCommit.length, await leftovers()], [4, {}])
  }
})

for (const count of [1, 3]) {
  t.test(`without a WAL, a reader blocks ${count} updates: beforeCommit is called once for each`, async (t) => {
    const file = `${t.testdir()}/contacts.db`
    const database = openHandle(file, { timeout: busyTimeout })
    const { update, eventsBeforeCommit, eventsAfterCommit, leftovers } = await observe(t, { database, lockTimeout: 20_000 })
    const other = openHandle(file)
    const reading = other.prepare('SELECT id FROM omnichannel_contact').iterate()
    reading.next()
    const waiting = Array.from({ length: count }, async (_, index) => await update({ contactId: 'maria', name: `${index}` }))
    await waitTurns(200)
    t.strictSame(eventsBeforeCommit, [], 'not called while it cannot be committed')
    reading.return!()
    t.strictSame((await Promise.all(waiting)).map(({ statusCode }) => statusCode), Array(count).fill(200))
    t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, await leftovers()], [count, count, {}])
    other.close()
  })

  t.test(`without a WAL, a reader comes during beforeCommit of ${count} updates: it is locked out, and beforeCommit is called once for each`, async (t) => {
    const file = `${t.testdir()}/contacts.db`
    const database = openHandle(file, { timeout: busyTimeout })
    const other = openHandle(file)
    const { update, eventsBeforeCommit, eventsAfterCommit } = await observe(t, {
      database, lockTimeout: 20_000,
      beforeCommit: () => {
        // The lock is exclusive, so no reader comes before COMMIT.
        t.throws(() => other.prepare('SELECT id FROM omnichannel_contact').all(), { code: 'SQLITE_BUSY' })
      }
    })
    other.pragma('busy_timeout = 0')
    await Promise.all(Array.from({ length: count }, async (_, index) => await update({ contactId: 'maria', name: `${index}` })))
    t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length], [count, count])
    other.close()
  })
}
