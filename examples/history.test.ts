// The entries of the history, and the undo of an entry.
//
//   npx tap --disable-coverage examples/history.test.ts

import Database from 'better-sqlite3'
import type { LightMyRequestResponse } from 'fastify'
import { hashToken } from 'fastify-omnichannel-contacts'
import t, { type Test } from 'tap'
import { buildApp } from './history.js'

interface TestApp {
  database: Database.Database
  update: (user: string, change: object) => Promise<LightMyRequestResponse>
  undo: (user: string, id: number) => Promise<LightMyRequestResponse>
  /** The entries, without their time. */
  entries: () => unknown[]
}

async function openTestApp (t: Test): Promise<TestApp> {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  for (const user of ['ann', 'bob']) {
    database.prepare('INSERT INTO omnichannel_user (id) VALUES (?)').run(user)
    database.prepare("INSERT INTO omnichannel_user_role VALUES (?, 'livechat-agent')").run(user)
    database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)').run(hashToken(`token-of-${user}`), user)
  }
  database.exec(`
    INSERT INTO omnichannel_custom_field (id) VALUES ('plan');
    INSERT INTO omnichannel_contact (id, name, unknown, conflicting_fields) VALUES ('maria', 'Maria', 1, '[{"field":"name","value":"Mary"}]');
    INSERT INTO omnichannel_contact_email VALUES ('maria', 0, 'maria@example.com');
  `)
  const post = async (user: string, url: string, payload?: object): Promise<LightMyRequestResponse> => await app.inject({
    method: 'POST', url, headers: { 'x-user-id': user, 'x-auth-token': `token-of-${user}` }, ...payload && { payload }
  })
  return {
    database,
    update: async (user, change) => await post(user, '/api/v1/omnichannel/contacts.update', { contactId: 'maria', ...change }),
    undo: async (user, id) => await post(user, `/history/${id}/undo`),
    entries: () => database.prepare('SELECT id, field, old, new, changed_by FROM history ORDER BY id').raw().all()
  }
}

t.test('an update: an entry for each changed field, with user and time', async (t) => {
  const { database, update, entries } = await openTestApp(t)
  const reply = await update('ann', { name: 'Marie', emails: ['m@example.com'], contactManager: 'bob', wipeConflicts: true })
  t.equal(reply.statusCode, 200)
  t.strictSame(entries(), [
    [1, 'name', '"Maria"', '"Marie"', 'ann'],
    [2, 'emails', '[{"address":"maria@example.com"}]', '[{"address":"m@example.com"}]', 'ann'],
    [3, 'unknown', 'true', 'false', 'ann'],
    [4, 'conflictingFields', '[{"field":"name","value":"Mary"}]', '[]', 'ann'],
    [5, 'contactManager', 'null', '"bob"', 'ann']
  ])
  t.strictSame(database.prepare('SELECT DISTINCT changed_at FROM history').pluck().all(), [reply.json().contact._updatedAt])
})

t.test('an equal value or a refusal: no entry', async (t) => {
  const { update, entries } = await openTestApp(t)
  t.equal((await update('ann', { name: 'Marie' })).statusCode, 200)
  const before = entries()
  t.equal((await update('bob', { name: 'Marie' })).statusCode, 200)
  t.equal((await update('bob', { name: '' })).statusCode, 400)
  t.equal((await update('bob', { contactManager: 'nobody' })).statusCode, 400)
  t.strictSame(entries(), before)
})

t.test('a deleted contact: its entries are deleted with it', async (t) => {
  const { database, update, entries } = await openTestApp(t)
  t.equal((await update('ann', { name: 'Marie' })).statusCode, 200)
  database.exec("DELETE FROM omnichannel_contact WHERE id = 'maria'")
  t.strictSame(entries(), [])
})

const undoable: Record<string, [change: object, previous: unknown]> = {
  name: [{ name: 'Marie' }, 'Maria'],
  emails: [{ emails: ['a@example.com', 'b@example.com'] }, [{ address: 'maria@example.com' }]],
  phones: [{ phones: ['+49 30 1'] }, []],
  customFields: [{ customFields: { plan: 'gold' } }, {}],
  contactManager: [{ contactManager: 'bob' }, undefined]
}

for (const [field, [change, previous]] of Object.entries(undoable)) {
  t.test(`${field}: can be undone, and so can the undo`, async (t) => {
    const { database, update, undo, entries } = await openTestApp(t)
    database.exec("UPDATE omnichannel_contact SET unknown = 0 WHERE id = 'maria'")
    const changed = await update('ann', change)
    const undone = await undo('bob', 1)
    t.equal(undone.statusCode, 200)
    t.strictSame(undone.json().contact[field], previous)
    const [[, , oldValue, newValue]] = entries() as [string[]]
    t.strictSame(entries(), [[1, field, oldValue, newValue, 'ann'], [2, field, newValue, oldValue, 'bob']])
    const redone = await undo('ann', 2)
    t.strictSame(redone.json().contact[field], changed.json().contact[field])
  })
}

t.test('an undo after a change of another field: that change stays', async (t) => {
  const { update, undo } = await openTestApp(t)
  await update('ann', { name: 'Marie' })
  await update('bob', { phones: ['+49 30 1'] })
  t.match((await undo('ann', 1)).json(), { contact: { name: 'Maria', phones: [{ phoneNumber: '+49 30 1' }] }, success: true })
})

t.test('an undo after a change of the same field: 409', async (t) => {
  const { database, update, undo, entries } = await openTestApp(t)
  await update('ann', { name: 'Marie' })
  await update('bob', { name: 'Mia' })
  const before = entries()
  const reply = await undo('ann', 1)
  t.strictSame([reply.statusCode, reply.json()], [409, { success: false, error: 'error-changed-since' }])
  t.strictSame(entries(), before)
  t.equal(database.prepare('SELECT name FROM omnichannel_contact').pluck().get(), 'Mia')
})

t.test('two undos at once: one gets 200, the other 412', async (t) => {
  const { database, update, undo } = await openTestApp(t)
  await update('ann', { name: 'Marie' })
  // With a stopped clock the reads of both undos share a batch of the plugin, and so do their updates.
  performance.now = () => 0
  t.teardown(() => { Reflect.deleteProperty(performance, 'now') })
  const replies = await Promise.all([undo('ann', 1), undo('bob', 1)])
  t.strictSame(replies.map((reply) => reply.statusCode).sort(), [200, 412])
  t.strictSame(replies.find((reply) => reply.statusCode === 412)?.json(), { success: false, error: 'error-contact-version-mismatch' })
  t.equal(database.prepare("SELECT count(*) FROM history WHERE field = 'name'").pluck().get(), 2)
})

t.test('an undo that breaks a rule of the endpoint or of the history: refused, and no entry', async (t) => {
  const { database, update, undo, entries } = await openTestApp(t)
  database.exec("UPDATE omnichannel_contact SET name = '', contact_manager = 'bob' WHERE id = 'maria'")
  await update('ann', { name: 'Marie', contactManager: '' })
  t.match(entries(), [[1, 'name'], [2, 'unknown'], [3, 'contactManager']])
  database.exec("DELETE FROM omnichannel_user_role WHERE user_id = 'bob'")
  const refused: Array<[situation: string, user: string, id: number, status: number, error: string]> = [
    ['a name cannot be removed', 'ann', 1, 400, 'error-invalid-operation'],
    ['the field unknown cannot be undone', 'ann', 2, 400, 'error-cannot-be-undone'],
    ['the old manager is no agent', 'ann', 3, 400, 'error-contact-manager-not-found'],
    ['no such entry', 'ann', 9, 404, 'error-entry-not-found'],
    ['an unknown user', 'eve', 1, 401, 'You must be logged in to do this.'],
    ['no permission', 'bob', 1, 403, 'User does not have the permissions required for this action [error-unauthorized]']
  ]
  for (const [situation, user, id, status, error] of refused) {
    const reply = await undo(user, id)
    t.equal(reply.statusCode, status, situation)
    t.match(reply.json(), { success: false, error }, situation)
  }
  t.equal(entries().length, 3)
})
