// An import, and updates while it runs.
//
//   npx tap --disable-coverage examples/kysely.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp, importPeople, type Person } from './kysely.js'

async function open (t: Test) {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  /** The numbers of contacts and of addresses. */
  const counts = (): unknown => database.prepare(`
    SELECT count(*), count(address) FROM omnichannel_contact LEFT JOIN omnichannel_contact_email ON id = contact_id`).raw().get()
  return { database, app, counts }
}

t.test('an update during an import: made before the import ends, and all rows are kept', async (t) => {
  const { database, app, counts } = await open(t)
  let imported = 0
  function * people (): Generator<Person> {
    for (; imported < 200; imported++) yield { id: `p${imported}`, name: `Person ${imported}`, email: `${imported}@example.com` }
  }
  const importing = importPeople(database, people())
  const reply = await app.inject({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' },
    payload: { contactId: 'maria', name: 'Maria Silva' }
  })
  t.equal(reply.statusCode, 200)
  t.ok(imported < 100, `it waited for ${imported} people`)
  await importing
  t.strictSame(counts(), [1 + 200, 200])
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Maria Silva')
})

t.test('a person who is there already: not imported again', async (t) => {
  const { database, counts } = await open(t)
  await importPeople(database, [{ id: 'p7', name: 'Person 7', email: '7@example.com' }])
  await importPeople(database, [{ id: 'p7', name: 'Another name', email: 'else@example.com' }])
  t.strictSame(counts(), [1 + 1, 1])
})
