// Faults of the database or the disk: an update is answered with 500, nothing is written, and later updates work.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import { statSync } from 'node:fs'
import t from 'tap'
import omnichannelContacts from '../../../src/index.js'
import { allRows, as, build, path } from '../../helpers/test-server.js'
import { handleKind, openHandle } from '../../helpers/open-handle.js'
import { internalServerError } from '../../helpers/refusals.js'
import { rejectionOf } from '../../helpers/registration.js'
import { sqliteDb } from '../../helpers/sqlite.js'
import { hostUsers, stopBatchClock, waitTurns } from '../../helpers/waiting.js'

const body = { contactId: 'maria', name: 'Marie', emails: ['marie@example.com'], customFields: { plan: 'silver' }, wipeConflicts: true }

interface Fault {
  /** Breaks the database, and returns a function that repairs it. */
  inject: (database: Database.Database) => () => void
  /** A part of the line in the log. */
  cause: string
  /** Default: the `body` of this file. */
  largeBody?: object
}

function injectBySql (breakSql: string, repairSql: string): Fault['inject'] {
  return (database) => {
    database.exec(breakSql)
    return () => { database.exec(repairSql) }
  }
}

const faults: Record<string, Fault> = {
  'disk full': {
    inject: (database) => {
      database.pragma(`max_page_count = ${String(database.pragma('page_count', { simple: true }))}`)
      return () => { database.pragma('max_page_count = 1000000') }
    },
    cause: 'SQLITE_FULL',
    largeBody: { ...body, emails: Array.from({ length: 1000 }, (_, index) => `${index}-${'x'.repeat(100)}@example.com`) }
  },
  'a handle that may not write': { inject: injectBySql('PRAGMA query_only = ON', 'PRAGMA query_only = OFF'), cause: 'SQLITE_READONLY' },
  'a constraint of the host': {
    inject: injectBySql("CREATE UNIQUE INDEX one_marie ON omnichannel_subscription (name) WHERE name = 'Marie'", 'DROP INDEX one_marie'),
    cause: 'UNIQUE constraint failed'
  },
  'a table that has gone': {
    inject: injectBySql('ALTER TABLE omnichannel_inquiry RENAME TO hidden', 'ALTER TABLE hidden RENAME TO omnichannel_inquiry'),
    cause: 'no such table'
  }
}

for (const [name, { inject, cause, largeBody }] of Object.entries(faults)) {
  for (const journalMode of ['WAL', 'DELETE']) {
    t.test(`${name}, ${journalMode}: 500, logged, nothing changed, and 200 after the repair`, async (t) => {
      const database = openHandle(`${t.testdir()}/contacts.db`)
      database.pragma(`journal_mode = ${journalMode}`)
      const lines: string[] = []
      const notified: unknown[] = []
      const server = { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } }
      const { update, db } = await build(t, { database, server, onContactUpdated: (event) => { notified.push(event) } })
      const repair = inject(database)
      const before = await allRows(db)
      for (const attempt of ['first', 'second']) {
        const reply = await update(largeBody ?? body)
        t.strictSame([reply.statusCode, reply.json()], [500, internalServerError], attempt)
      }
      t.strictSame(await allRows(db), before, 'nothing changed')
      t.equal(database.inTransaction, false)
      t.strictSame(notified, [])
      t.equal(lines.filter((line) => line.includes(cause)).length, 2, lines[0] ?? 'nothing is logged')

      repair()
      const reply = await update(largeBody ?? body)
      t.equal(reply.statusCode, 200)
      t.equal(reply.json().contact.name, 'Marie')
      t.equal(database.prepare("SELECT count(*) FROM omnichannel_subscription WHERE name = 'Marie'").pluck().get(), 2)
      t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
    })
  }
}

/** Runs `intercept` before each statement of a handle that begins with a command. If it throws, SQLite does not run the statement. */
function interceptCommand (database: Database.Database, command: 'COMMIT' | 'RELEASE', intercept: () => void): void {
  const prepare = database.prepare.bind(database)
  Object.assign(database, {
    prepare: (sql: string) => {
      const statement = prepare(sql)
      const run = statement.run.bind(statement)
      if (!sql.startsWith(command)) return statement
      return Object.assign(statement, {
        run: () => {
          intercept()
          return run()
        }
      })
    }
  })
}

// https://sqlite.org/rescode.html
const resultCodes = { SQLITE_IOERR: 10, SQLITE_FULL: 13, SQLITE_IOERR_WRITE: 778, SQLITE_IOERR_FSYNC: 1034 }

/** An error of better-sqlite3, which has a `code`, and of node:sqlite, which has an `errcode`. */
function diskError (code: keyof typeof resultCodes): Error {
  return Object.assign(new Error('disk I/O error'), { code, errcode: resultCodes[code] })
}

interface CommitFault {
  situation: string
  expectation: string
  /** Another connection has the write lock, so no other commit can overwrite the failed one. */
  isLocked?: boolean
  /** The commit that overwrites the failed one fails too. */
  failsAgain?: boolean
}

const commitFaults: CommitFault[] = [
  { situation: 'COMMIT fails on the disk', expectation: 'another commit overwrites it in the log' },
  { situation: 'COMMIT fails on the disk, and another connection writes', expectation: 'the next update is made', isLocked: true },
  { situation: 'COMMIT fails on the disk twice', expectation: 'the next update is made', failsAgain: true }
]
for (const { situation, expectation, isLocked = false, failsAgain = false } of commitFaults) {
  t.test(`${situation}: 500, and ${expectation}`, async (t) => {
    const file = `${t.testdir()}/contacts.db`
    const [database, other] = [openHandle(file), openHandle(file)]
    database.pragma('journal_mode = WAL')
    // The commit that overwrites the failed one sets user_version to the value that it has.
    database.pragma('user_version = 7')
    const exec = database.exec.bind(database)
    let isDiskBroken = false
    interceptCommand(database, 'COMMIT', () => {
      if (!isDiskBroken) return
      // As SQLite does. What it has written to the log stays there.
      exec('ROLLBACK')
      if (isLocked) other.exec('BEGIN IMMEDIATE')
      throw diskError('SQLITE_IOERR_FSYNC')
    })
    database.exec = (sql) => {
      if (isDiskBroken && failsAgain && sql.startsWith('PRAGMA main')) throw diskError('SQLITE_IOERR_FSYNC')
      return exec(sql)
    }
    const { update, db } = await build(t, { database })
    t.teardown(() => { other.close() })
    // Changes with each commit of `database`.
    const dataVersion = (): unknown => other.pragma('data_version', { simple: true })
    const before = { dataVersion: dataVersion(), rows: await allRows(db) }

    isDiskBroken = true
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
    t.strictSame(await allRows(db), before.rows)
    t.equal(dataVersion() !== before.dataVersion, !isLocked && !failsAgain, 'the other commit')
    t.equal(database.pragma('user_version', { simple: true }), 7)
    t.equal(database.inTransaction, false)

    isDiskBroken = false
    if (isLocked) other.exec('ROLLBACK')
    t.equal((await update(body)).statusCode, 200)
  })
}

// With a WAL, SQLite commits an attached file after this one.
for (const code of ['SQLITE_IOERR_FSYNC', 'SQLITE_FULL'] as const) {
  t.test(`COMMIT fails in an attached file with ${code}: 200 for each update, and each is made once`, async (t) => {
    const database = openHandle(`${t.testdir()}/contacts.db`)
    database.pragma('journal_mode = WAL')
    let fails = false
    interceptCommand(database, 'COMMIT', () => {
      if (!fails) return
      fails = false
      database.exec('COMMIT')
      throw diskError(code)
    })
    const notified: unknown[] = []
    const { update, db } = await build(t, { database, onContactUpdated: (event) => { notified.push(event) } })
    fails = true
    const replies = await Promise.all([
      update({ contactId: 'maria', name: 'Marie' }), update({ contactId: 'blank', phones: ['1'] }), update({ contactId: 'maria', phones: ['2'] })
    ])
    t.strictSame(replies.map(({ statusCode, headers }) => [statusCode, headers.etag]), [[200, '"2"'], [200, '"2"'], [200, '"3"']])
    t.match((await allRows(db)).omnichannel_contact, [{ id: 'blank', version: 2 }, {}, { id: 'maria', name: 'Marie', version: 3 }])
    t.equal(notified.length, 3)
  })
}

t.test('COMMIT fails on the disk, and the file cannot be read afterwards: 500', async (t) => {
  const database = openHandle(`${t.testdir()}/contacts.db`)
  let fails = false
  interceptCommand(database, 'COMMIT', () => {
    if (!fails) return
    database.exec('ROLLBACK')
    database.close()
    throw diskError('SQLITE_IOERR_FSYNC')
  })
  const { update } = await build(t, { database })
  fails = true
  t.equal((await update(body)).statusCode, 500)
})

t.test('COMMIT fails because a quota is used up: 200, after a checkpoint has made room', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const database = openHandle(file)
  database.pragma('journal_mode = WAL')
  /** The largest size of the log in bytes. */
  let quota = Infinity
  const logSize = (): number => statSync(`${file}-wal`).size
  interceptCommand(database, 'COMMIT', () => {
    if (logSize() < quota) return
    database.exec('ROLLBACK')
    throw diskError('SQLITE_IOERR_WRITE')
  })
  const { update } = await build(t, { database })
  quota = logSize()
  t.equal((await update(body)).statusCode, 200)
  t.ok(logSize() < quota)
})

t.test('the savepoint of an update cannot be released: 500 for that update, and the other one of its batch is made', async (t) => {
  stopBatchClock(t)
  const database = openHandle(':memory:')
  let fails = false
  interceptCommand(database, 'RELEASE', () => {
    if (!fails) return
    fails = false
    throw diskError('SQLITE_IOERR')
  })
  const lines: string[] = []
  const server = { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } }
  const { update } = await build(t, { database, server })
  const repair = faults['a constraint of the host']!.inject(database)
  t.equal((await update(body)).statusCode, 500, 'after this, updates have savepoints')
  repair()
  fails = true
  const replies = await Promise.all([update({ contactId: 'maria', phones: ['1'] }), update({ contactId: 'blank', phones: ['2'] })])
  t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 500])
  t.match(lines.map((line) => JSON.parse(line).err.message), [/UNIQUE constraint failed/, 'disk I/O error'])
  t.equal((await update({ contactId: 'blank', phones: ['2'] })).headers.etag, '"2"')
})

t.test('a disk that is full for one update: the others of its batch are made', async (t) => {
  stopBatchClock(t)
  const { update, database, db } = await build(t)
  const { inject, largeBody } = faults['disk full']!
  inject(database)
  const replies = await Promise.all([
    update({ contactId: 'maria', name: 'Marie' }),
    update({ ...largeBody, contactId: 'blank', customFields: null }),
    update({ contactId: 'maria', phones: ['1'] })
  ])
  t.strictSame(replies.map((reply) => reply.statusCode), [200, 500, 200])
  t.match((await allRows(db)).omnichannel_contact, [{ id: 'blank', name: '', version: 1 }, {}, { id: 'maria', name: 'Marie', version: 3 }])
})

t.test('a read-only handle: 500 for an update, 403 without the permission', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const writable = await build(t, { database: openHandle(file) })
  const before = await allRows(writable.db)
  const database = openHandle(file, { readonly: true })
  const app = fastify()
  t.teardown(async () => { await app.close(); database.close() })
  await app.register(omnichannelContacts, { database })

  const replies = await Promise.all([body, { contactId: 'maria', name: 'Marie' }].map((payload) =>
    app.inject({ method: 'POST', url: path, headers: as('ann'), payload })))
  for (const reply of replies) t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.equal((await app.inject({ method: 'POST', url: path, headers: as('nick'), payload: body })).statusCode, 403)
  t.strictSame(await allRows(writable.db), before)
  t.equal((await writable.update(body)).statusCode, 200, 'another handle can still write')
})

t.test('a handle that is closed while updates wait: 500 for these and later ones, nothing changed', async (t) => {
  for (const journalMode of ['WAL', 'DELETE']) {
    for (const options of [{}, hostUsers]) {
      const file = `${t.testdir()}/contacts.db`
      const database = openHandle(file)
      database.pragma(`journal_mode = ${journalMode}`)
      const { update } = await build(t, { database, ...options })
      t.equal((await update({ contactId: 'maria' })).statusCode, 200)
      database.exec('BEGIN')
      const waiting = [update(body), update({ contactId: 'maria', phones: [] })]
      await waitTurns(5)
      database.close()
      const replies = [...await Promise.all(waiting), await update(body)]
      for (const reply of replies) t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])

      const again = openHandle(file)
      t.match((await allRows(sqliteDb(again))).omnichannel_contact, [{}, {}, { id: 'maria', name: 'Maria', version: 1 }])
      again.close()
    }
  }
})

t.test('a row that cannot be parsed: 500, and the update is rolled back', async (t) => {
  const { update, database, db } = await build(t)
  // The check of the column reads up to the NUL only, so it passes. JSON.parse reads all of it.
  database.exec("UPDATE omnichannel_contact SET conflicting_fields = '[]' || char(0) WHERE id = 'maria'")
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'Renamed' })
  t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.strictSame(await allRows(db), before)
})

const sqlFunctions: Record<string, (database: Database.Database) => unknown> = {
  'throws an error': () => { throw new Error('no') },
  'throws a text': () => { throw 'no' },
  'throws null': () => { throw null },
  'throws undefined': () => { throw undefined },
  // node:sqlite allows it.
  ...handleKind !== 'node:sqlite' && { 'queries the same handle': (database: Database.Database) => database.prepare('SELECT 1').pluck().get() }
}
for (const [name, run] of Object.entries(sqlFunctions)) {
  t.test(`a trigger calls an SQL function that ${name}: 500 for that update, and the others of its batch are made`, async (t) => {
    const { update, database, db } = await build(t, { lockTimeout: 100 })
    database.function('of_the_host', () => run(database))
    database.exec("CREATE TRIGGER host AFTER UPDATE ON omnichannel_contact WHEN old.id = 'blank' BEGIN SELECT of_the_host(); END")
    const replies = await Promise.all([
      update({ contactId: 'maria', phones: ['1'] }), update({ contactId: 'blank', name: 'X' }), update({ contactId: 'maria', phones: ['2'] })
    ])
    t.strictSame(replies.map((reply) => reply.statusCode), [200, 500, 200])
    t.strictSame(replies[1].json(), internalServerError)
    const { omnichannel_contact: contacts, omnichannel_contact_phone: phones } = await allRows(db)
    t.match([contacts, phones], [[{ name: '', version: 1 }, {}, { id: 'maria', version: 3 }], [{ phone_number: '2' }]])
  })
}

t.test('beside a trigger of the host, the transaction is rolled back between two writes, without an error: 500, nothing written', async (t) => {
  const database = openHandle(':memory:')
  const prepare = database.prepare.bind(database)
  let fails = false
  Object.assign(database, {
    prepare: (sql: string) => {
      const statement = prepare(sql)
      const run = statement.run.bind(statement)
      return !sql.startsWith('update') ? statement : Object.assign(statement, {
        run: (...values: unknown[]) => {
          const result = run(...values)
          if (fails) database.exec('ROLLBACK')
          fails = false
          return result
        }
      })
    }
  })
  const { update, db } = await build(t, { database })
  database.exec('CREATE TRIGGER of_host AFTER UPDATE ON omnichannel_contact BEGIN SELECT 1; END')
  const before = await allRows(db)
  fails = true
  const replies = await Promise.all([update(body), update({ contactId: 'blank' })])
  t.strictSame(replies.map(({ statusCode }) => statusCode), [500, 200])
  t.strictSame(await allRows(db), before)
  t.equal((await update(body)).statusCode, 200)
})

const cannotSwitchOff = handleKind === 'node:sqlite' && 'the handle is defensive: its journal cannot be switched off'
t.test('journal_mode = OFF: no registration and no update, because SQLite could not roll back', { skip: cannotSwitchOff }, async (t) => {
  const database = openHandle(`${t.testdir()}/contacts.db`)
  const { update, db } = await build(t, { database })
  const before = await allRows(db)
  database.unsafeMode(true)
  t.equal(database.pragma('journal_mode = OFF', { simple: true }), 'off')
  t.strictSame((await update(body)).json(), internalServerError)
  t.match(await rejectionOf({ database }), { message: /^With journal_mode = OFF, SQLite cannot roll back/ })
  t.strictSame(await allRows(db), before)
  database.pragma('journal_mode = WAL')
  t.equal((await update(body)).statusCode, 200)
})
