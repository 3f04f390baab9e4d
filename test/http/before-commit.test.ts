// The host's own writes in beforeCommit are committed or rolled back together with the update.

import { AsyncLocalStorage } from 'node:async_hooks'
import type Database from 'better-sqlite3'
import t from 'tap'
import { ForbiddenError, UpdateRefusedError, type ContactUpdatedEvent } from '../../src/index.js'
import { allRows, as, build } from '../helpers/build.js'
import engines from '../helpers/engines.js'
import { observe } from '../helpers/observed.js'
import { internal } from '../helpers/refusals.js'

const body = { contactId: 'maria', name: 'Marie', emails: ['a@b.c'] }

/** Creates a table of the host, in which its beforeCommit writes names. */
const createJournal = (_app: unknown, { database }: { database: Database.Database }): void => { database.exec('CREATE TABLE journal (name TEXT NOT NULL UNIQUE)') }
const namesIn = (database: Database.Database): unknown[] => database.prepare('SELECT name FROM journal ORDER BY rowid').pluck().all()

t.test('an update that writes: beforeCommit is called once, after the rows and before COMMIT, with the event and the handle', async (t) => {
  const calls: Array<[ContactUpdatedEvent, unknown]> = []
  const notified: ContactUpdatedEvent[] = []
  const { update, database } = await build(t, {
    host: createJournal,
    beforeCommit: (event, connection) => {
      calls.push([event, connection])
      t.equal(database.inTransaction, true)
      t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Marie', 'the rows are written')
      ;(connection as Database.Database).prepare('INSERT INTO journal VALUES (?)').run(`${event.previous.name} → ${event.contact.name}`)
    },
    onContactUpdated: (event) => { notified.push(event) }
  })
  const reply = await update(body)
  t.equal(reply.statusCode, 200)
  t.equal((await update({ contactId: 'maria' })).statusCode, 200, 'nothing to write')
  t.equal((await update({ contactId: 'maria', name: '' })).statusCode, 400)
  t.equal(calls.length, 1)
  const [[event, connection] = []] = calls
  t.equal(connection, database)
  t.strictSame(event!.contact, reply.json().contact)
  t.match(event, { previous: { name: 'Maria', emails: [{ address: 'maria@example.com' }, {}] }, user: { id: 'ann' }, request: { method: 'POST' } })
  t.strictSame(event!.changedFields, ['name', 'emails', 'unknown'])
  t.strictSame(notified.map((event) => ({ ...event, request: null })), [{ ...event, request: null }], 'the other hook gets the same')
  t.strictSame(namesIn(database), ['Maria → Marie'])
})

const thrownErrors: Record<string, [thrown: unknown, status: number, body: object]> = {
  'a refusal': [new UpdateRefusedError('error-duplicate-email'), 400, { success: false, error: 'error-duplicate-email' }],
  'a refusal with the status of a success': [Object.assign(new UpdateRefusedError('error-mine'), { statusCode: 200 }), 500, internal],
  'a refusal whose text has a percent sign': [new UpdateRefusedError('error-100%s-%d'), 400, { success: false, error: 'error-100%s-%d' }],
  'an error': [new Error('secret'), 500, internal],
  "an error of the plugin's that is no refusal": [new ForbiddenError(), 500, internal]
}

for (const [name, [thrown, status, answer]] of Object.entries(thrownErrors)) {
  t.test(`beforeCommit throws ${name}: ${status}, and neither its rows nor ours are written`, async (t) => {
    let notified = 0
    const { update, database, db } = await build(t, {
      host: createJournal,
      beforeCommit: () => {
        database.prepare("INSERT INTO journal VALUES ('half')").run()
        throw thrown
      },
      onContactUpdated: () => { notified++ }
    })
    const before = await allRows(db)
    const reply = await update(body, { ...as('ann'), 'idempotency-key': 'k' })
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [status, answer, undefined])
    t.strictSame(await allRows(db), before)
    t.strictSame(namesIn(database), [])
    t.equal(notified, 0)
  })
}

const asynchronous: Record<string, () => unknown> = {
  'a promise': async () => { await Promise.resolve() },
  'a promise that fails': async () => { throw new Error('later') },
  'something that can be awaited': () => ({ then: (resolve: () => void) => { resolve() } })
}

for (const [name, promise] of Object.entries(asynchronous)) {
  t.test(`beforeCommit returns ${name}: 500, the update is rolled back, and the log has the reason`, async (t) => {
    const { update, db, lines } = await observe(t, { beforeCommit: promise })
    const before = await allRows(db)
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json()], [500, internal])
    t.strictSame(await allRows(db), before)
    t.match(lines.filter(({ level }) => level > 30).map((line) => JSON.stringify(line)), [/FOC_ASYNC_BEFORE_COMMIT/])
  })
}

t.test("the host's own transaction() in beforeCommit: nests; a ROLLBACK there: 500, and nothing is written", async (t) => {
  const { update, database, db } = await build(t, {
    host: createJournal,
    beforeCommit: ({ contact }, connection) => {
      if (contact.name === 'ROLLBACK') { connection.exec('ROLLBACK'); return }
      database.transaction(() => { database.prepare('INSERT INTO journal VALUES (?)').run(contact.name) })()
    }
  })
  t.equal((await update(body)).statusCode, 200)
  t.strictSame(namesIn(database), ['Marie'])
  const before = await allRows(db)
  t.strictSame((await update({ contactId: 'maria', name: 'ROLLBACK' })).json(), internal)
  t.strictSame((await update({ contactId: 'blank', name: 'Marie' })).json(), internal, 'its own constraint')
  t.strictSame(await allRows(db), before)
  t.equal((await update({ contactId: 'maria', name: 'Mia' })).statusCode, 200)
})

t.test('beforeCommit changes the event: the answer and the rows stay the same', async (t) => {
  const { update, database } = await build(t, { beforeCommit: ({ contact }) => { contact.name = 'Mallory' } })
  t.equal((await update(body)).json().contact.name, 'Marie')
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Marie')
})

engines.test('several updates at once: both hooks run in the async context of their own request', async (t) => {
  const storage = new AsyncLocalStorage<string>()
  const seen: Array<[hook: string, name: string, inContext: string | undefined]> = []
  const { update } = await build(t, {
    host: (app) => { app.addHook('onRequest', (request, _reply, done) => { storage.run(String(request.headers['x-name']), done) }) },
    beforeCommit: ({ contact }) => { seen.push(['beforeCommit', contact.name, storage.getStore()]) },
    onContactUpdated: ({ contact }) => { seen.push(['onContactUpdated', contact.name, storage.getStore()]) }
  })
  const names = ['Marie', 'Mary', 'Maja']
  await Promise.all(names.map(async (name) => { await update({ contactId: 'maria', name }, { ...as('ann'), 'x-name': name }) }))
  t.strictSame(seen.sort(), ['beforeCommit', 'onContactUpdated'].flatMap((hook) => names.map((name) => [hook, name, name]).sort()))
})
