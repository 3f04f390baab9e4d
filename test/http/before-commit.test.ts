// The host's own writes in beforeCommit are committed or rolled back together with the update.

import { AsyncLocalStorage } from 'node:async_hooks'
import { runInNewContext } from 'node:vm'
import type Database from 'better-sqlite3'
import t from 'tap'
import { ForbiddenError, UpdateRefusedError, type ContactUpdatedEvent } from '../../src/index.js'
import { allRows, as, build, type Setup } from '../helpers/test-server.js'
import engines from '../helpers/engines.js'
import { observe } from '../helpers/observed-server.js'
import { internalServerError } from '../helpers/refusals.js'

const body = { contactId: 'maria', name: 'Marie', emails: ['a@b.c'] }

/** A table of the host, in which its beforeCommit writes names. */
function createJournal (_app: unknown, { database }: { database: Database.Database }): void {
  database.exec('CREATE TABLE journal (name TEXT NOT NULL UNIQUE)')
}

function namesInJournal (database: Database.Database): unknown[] {
  return database.prepare('SELECT name FROM journal ORDER BY rowid').pluck().all()
}

t.test('an update that writes: beforeCommit is called after the rows are written and before COMMIT', async (t) => {
  const { update, database } = await build(t, {
    host: createJournal,
    beforeCommit: ({ previous, contact }, connection: Database.Database) => {
      t.equal(database.inTransaction, true)
      t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Marie', 'the rows are written')
      connection.prepare('INSERT INTO journal VALUES (?)').run(`${previous.name} → ${contact.name}`)
    }
  })
  t.equal((await update(body)).statusCode, 200)
  t.strictSame(namesInJournal(database), ['Maria → Marie'])
})

t.test('an update that writes: beforeCommit gets the event and the handle, and onContactUpdated the same event', async (t) => {
  const connections: unknown[] = []
  const { update, database, eventsBeforeCommit, eventsAfterCommit } = await observe(t, {
    beforeCommit: (_event, connection) => { connections.push(connection) }
  })
  const reply = await update(body)
  t.equal(reply.statusCode, 200)
  t.equal(eventsBeforeCommit.length, 1)
  t.strictSame(connections.map((connection) => connection === database), [true])
  const event = eventsBeforeCommit[0]!
  t.strictSame(event.contact, reply.json().contact)
  t.match(event, { previous: { name: 'Maria', emails: [{ address: 'maria@example.com' }, {}] }, user: { id: 'ann' }, request: { method: 'POST' } })
  t.strictSame(event.changedFields, ['name', 'emails', 'unknown'])
  const withoutRequest = (event: ContactUpdatedEvent): object => ({ ...event, request: null })
  t.strictSame(eventsAfterCommit.map(withoutRequest), [withoutRequest(event)])
})

t.test('a read or a refused update: beforeCommit is not called', async (t) => {
  const { update, eventsBeforeCommit } = await observe(t)
  t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  t.equal((await update({ contactId: 'maria', name: '' })).statusCode, 400)
  t.strictSame(eventsBeforeCommit, [])
})

const thrownErrors: Record<string, [thrown: unknown, status: number, body: object]> = {
  'a refusal': [new UpdateRefusedError('error-duplicate-email'), 400, { success: false, error: 'error-duplicate-email' }],
  'a refusal with the status of a success': [Object.assign(new UpdateRefusedError('error-of-host'), { statusCode: 200 }), 500, internalServerError],
  'a refusal whose text has a percent sign': [new UpdateRefusedError('error-100%s-%d'), 400, { success: false, error: 'error-100%s-%d' }],
  'an error': [new Error('secret'), 500, internalServerError],
  "an error of the plugin's that is no refusal": [new ForbiddenError(), 500, internalServerError]
}

for (const [name, [thrown, status, answer]] of Object.entries(thrownErrors)) {
  t.test(`beforeCommit throws ${name}: ${status}, and neither the rows of the host nor ours are written`, async (t) => {
    let onContactUpdatedCalls = 0
    const { update, database, db } = await build(t, {
      host: createJournal,
      beforeCommit: () => {
        database.prepare("INSERT INTO journal VALUES ('half')").run()
        throw thrown
      },
      onContactUpdated: () => { onContactUpdatedCalls++ }
    })
    const before = await allRows(db)
    const reply = await update(body, { ...as('ann'), 'idempotency-key': 'k' })
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [status, answer, undefined])
    t.strictSame(await allRows(db), before)
    t.strictSame(namesInJournal(database), [])
    t.equal(onContactUpdatedCalls, 0)
  })
}

const asynchronousHooks: Record<string, NonNullable<Setup['beforeCommit']>> = {
  'a promise': async () => { await Promise.resolve() },
  'a promise that fails': async () => { throw new Error('later') },
  'a promise of another realm that fails': () => runInNewContext("Promise.reject(new Error('later'))"),
  'a query builder, which runs its query when it is awaited': (_event, database: Database.Database) => ({
    then: (resolve: () => void) => {
      database.exec("UPDATE omnichannel_contact SET name = 'Late'")
      resolve()
    }
  })
}

for (const [name, beforeCommit] of Object.entries(asynchronousHooks)) {
  t.test(`beforeCommit returns ${name}: 500, the update is rolled back, and the log has the reason`, async (t) => {
    const { update, db, warnings } = await observe(t, { beforeCommit })
    const before = await allRows(db)
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
    t.strictSame(await allRows(db), before)
    t.match(warnings().map((line) => JSON.stringify(line)), [/FOC_ASYNC_BEFORE_COMMIT/])
  })
}

t.test('beforeCommit writes in a transaction() of better-sqlite3: its rows are committed with the update, or 500 if they are refused', async (t) => {
  const { update, database, db } = await build(t, {
    host: createJournal,
    beforeCommit: ({ contact }) => {
      database.transaction(() => { database.prepare('INSERT INTO journal VALUES (?)').run(contact.name) })()
    }
  })
  t.equal((await update(body)).statusCode, 200)
  t.strictSame(namesInJournal(database), ['Marie'])
  const before = await allRows(db)
  t.strictSame((await update({ contactId: 'blank', name: 'Marie' })).json(), internalServerError, 'the journal has this name already')
  t.strictSame(await allRows(db), before)
})

t.test('beforeCommit runs ROLLBACK: 500, nothing is written, and the next update works', async (t) => {
  const { update, db } = await build(t, {
    beforeCommit: ({ contact }, connection) => { if (contact.name === 'ROLLBACK') connection.exec('ROLLBACK') }
  })
  const before = await allRows(db)
  t.strictSame((await update({ contactId: 'maria', name: 'ROLLBACK' })).json(), internalServerError)
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
  const calls: string[] = []
  const { update } = await build(t, {
    host: (app) => { app.addHook('onRequest', (request, _reply, done) => { storage.run(String(request.headers['x-name']), done) }) },
    beforeCommit: ({ contact }) => { calls.push(`beforeCommit of ${contact.name} in the context of ${storage.getStore()}`) },
    onContactUpdated: ({ contact }) => { calls.push(`onContactUpdated of ${contact.name} in the context of ${storage.getStore()}`) }
  })
  await Promise.all(['Marie', 'Mary', 'Maja'].map(async (name) => { await update({ contactId: 'maria', name }, { ...as('ann'), 'x-name': name }) }))
  t.strictSame(calls.sort(), [
    'beforeCommit of Maja in the context of Maja',
    'beforeCommit of Marie in the context of Marie',
    'beforeCommit of Mary in the context of Mary',
    'onContactUpdated of Maja in the context of Maja',
    'onContactUpdated of Marie in the context of Marie',
    'onContactUpdated of Mary in the context of Mary'
  ])
})
