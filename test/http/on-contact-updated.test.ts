import { inspect } from 'node:util'
import type { ContactUpdatedEvent } from '../../src/index.js'
import { allRows, as, build, rowOfMaria } from '../helpers/test-server.js'
import t, { sqlite } from '../helpers/engines.js'
import { openFile } from '../helpers/sqlite-files.js'
import { openHandle } from '../helpers/open-handle.js'
import { stopBatchClock, waitTurns, until } from '../helpers/waiting.js'

t.test('an update: onContactUpdated gets the contact before and after, the changed fields, user and request', async (t) => {
  const events: ContactUpdatedEvent[] = []
  const updateIds = new Set<string>()
  const { app, update, db } = await build(t, { onContactUpdated: (event) => { events.push(event) } })
  let previous = (await update({ contactId: 'maria' })).json().contact
  const changes: Array<[body: object, changedFields: string[]]> = [
    [{ name: 'Marie' }, ['name', 'unknown']],
    [{ name: 'Marie' }, []],
    [{ emails: ['new@example.com'], phones: ['+49 30 1'] }, ['emails']],
    [{ phones: [], contactManager: '' }, ['phones', 'contactManager']],
    [{ contactManager: 'ann', wipeConflicts: true }, ['conflictingFields', 'contactManager']],
    [{ customFields: { plan: 'silver' }, emails: null }, ['customFields']]
  ]
  for (const [body, changedFields] of changes) {
    const reply = await update({ contactId: 'maria', ...body })
    const { contact } = reply.json()
    t.equal(events.length, 1, 'called once')
    t.notMatch(inspect(events[0], { depth: 0 }), 'Getter', 'console.log shows all fields of the event')
    const { request, updateId, ...event } = events.pop()!
    t.equal(updateId, await db.value("SELECT update_id FROM omnichannel_contact WHERE id = 'maria'"))
    t.match(updateId, /^[0-9a-f]{32}$/)
    updateIds.add(updateId)
    t.strictSame(event, { contact, previous, changedFields, user: { id: 'ann', username: 'ann', name: 'ann' } }, JSON.stringify(body))
    t.equal(request.server.version, app.version)
    t.strictSame(request.body, { contactId: 'maria', ...body })
    previous = contact
  }
  t.equal(updateIds.size, changes.length, 'each update has an id of its own')
})

t.test('an update that is refused or changes nothing: onContactUpdated is not called', async (t) => {
  let calls = 0
  const { update, post, db } = await build(t, { onContactUpdated: () => { calls++ } })
  await db.refuseUpdates('omnichannel_contact', 'no', "old.id = 'blank'")
  const requests: Array<[situation: string, status: number, send: () => ReturnType<typeof update>]> = [
    ['only the id', 200, () => update({ contactId: 'maria' })],
    ['only nulls', 200, () => update({ contactId: 'maria', emails: null, phones: null, customFields: null, contactManager: null })],
    ['wipeConflicts false', 200, () => update({ contactId: 'maria', wipeConflicts: false })],
    ['an unknown contact', 400, () => update({ contactId: 'who', name: 'X' })],
    ['a manager who is no agent', 400, () => update({ contactId: 'maria', name: 'X', contactManager: 'adam' })],
    ['a required custom field is missing', 400, () => update({ contactId: 'maria', name: 'X', customFields: {} })],
    ['an empty name', 400, () => update({ contactId: 'maria', name: '' })],
    ['an unknown key', 400, () => update({ contactId: 'maria', name: 'X', colour: 1 })],
    ['broken JSON', 400, () => post('{')],
    ['no credentials', 401, () => update({ contactId: 'maria', name: 'X' }, {})],
    ['no permission', 403, () => update({ contactId: 'maria', name: 'X' }, as('nick'))],
    ['a trigger that raises an error', 500, () => update({ contactId: 'blank', name: 'X' })]
  ]
  for (const [situation, status, send] of requests) {
    t.equal((await send()).statusCode, status, situation)
    t.equal(calls, 0, situation)
  }
})

t.test('updates that share a commit: onContactUpdated is called for each after this commit', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const otherConnection = openFile(t, file)
  const calls: Array<{ name: string, committedName: unknown }> = []
  const { update } = await build(t, {
    database: openHandle(file),
    onContactUpdated: ({ contact }) => {
      const committedName = otherConnection.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get()
      calls.push({ name: contact.name, committedName })
    }
  })
  stopBatchClock(t)
  await Promise.all(['a', 'b', 'c'].map((name) => update({ contactId: 'maria', name })))
  t.strictSame(calls, [{ name: 'a', committedName: 'c' }, { name: 'b', committedName: 'c' }, { name: 'c', committedName: 'c' }])
})

t.test('onContactUpdated fails: logged, and the answer stays 200', async (t) => {
  const failures: Record<string, () => unknown> = {
    'a throw': () => { throw new Error('of the host') },
    'a rejection': async () => { throw new Error('of the host') },
    'a later rejection': async () => { await new Promise(setImmediate); throw new Error('of the host') }
  }
  for (const [situation, onContactUpdated] of Object.entries(failures)) {
    const lines: string[] = []
    const server = { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } }
    const { update, db } = await build(t, { server, onContactUpdated })
    const reply = await update({ contactId: 'maria', name: 'Marie' })
    await waitTurns(2)
    t.equal(reply.statusCode, 200, situation)
    t.equal(reply.json().contact.name, 'Marie', situation)
    t.match(await rowOfMaria(db), { name: 'Marie' }, situation)
    t.equal(lines.length, 1, situation)
    t.match(JSON.parse(lines[0]!), { msg: /onContactUpdated/, err: { message: 'of the host' } }, situation)
  }
})

/** Makes what the host throws, and replaces the stream of the log by one that fails. */
const unloggable: Record<string, { thrown: () => unknown, write?: () => void }> = {
  'an error with a getter that throws': {
    thrown: () => Object.defineProperty(new Error(), 'message', { get: () => { throw new Error('of the getter') } })
  },
  'a Proxy that throws': { thrown: () => new Proxy({}, { get: () => { throw new Error('of the Proxy') } }) },
  'an error while nothing can be written to the log': {
    thrown: () => new Error('of the host'), write: () => { throw new Error('no space left') }
  }
}
for (const [situation, { thrown, write }] of Object.entries(unloggable)) {
  t.test(`onContactUpdated throws ${situation}: the answer is sent, and the process goes on`, async (t) => {
    const lines: string[] = []
    const unhandled: unknown[] = []
    const collect = (error: unknown): void => { unhandled.push(error) }
    process.on('unhandledRejection', collect)
    t.teardown(() => { process.off('unhandledRejection', collect) })
    const server = { logger: { level: 'error', stream: { write: write ?? ((line: string) => { lines.push(line) }) } } }
    const { update } = await build(t, { server, onContactUpdated: async () => { throw thrown() } })
    t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
    await waitTurns(3)
    t.strictSame(unhandled, [])
    if (write === undefined) t.match(lines.map((line) => JSON.parse(line)), [{ msg: /onContactUpdated failed/ }])
  })
}

t.test('onContactUpdated returns a pending promise: the answer does not wait for it', async (t) => {
  let finish = (): void => undefined
  const { update } = await build(t, { onContactUpdated: () => new Promise<void>((resolve) => { finish = resolve }) })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  finish()
})

sqlite.test('onContactUpdated writes on the handle and sends an update: both work', async (t) => {
  const { update, database, db } = await build(t, {
    onContactUpdated: async ({ contact, request }) => {
      database.transaction(() => { database.prepare('INSERT INTO omnichannel_statistic VALUES (?, 1)').run(contact.name) })()
      if (contact.name === 'first') {
        const reply = await request.server.inject({
          method: 'POST', url: request.url, headers: as('bob'), payload: { contactId: 'maria', name: 'second' }
        })
        t.equal(reply.statusCode, 200)
      }
    }
  })
  t.equal((await update({ contactId: 'maria', name: 'first' })).statusCode, 200)
  await until(async () => await db.value("SELECT 1 FROM omnichannel_statistic WHERE name = 'second'") === 1)
  t.match((await allRows(db)).omnichannel_statistic, [{ name: 'first' }, { name: 'second' }])
})
