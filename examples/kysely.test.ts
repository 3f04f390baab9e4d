// An import, and updates while it runs.
//
//   npx tap --disable-coverage examples/kysely.test.ts

import Database from 'better-sqlite3'
import t from 'tap'
import { addDemo, buildApp, importPeople, type Person } from './kysely.js'

t.test('an update during an import: made before the import ends, and all rows are kept; a second import adds none', async (t) => {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemo(database)
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
  const count = database.prepare('SELECT count(*), count(address) FROM omnichannel_contact LEFT JOIN omnichannel_contact_email ON id = contact_id').raw()
  t.strictSame(count.get(), [201, 200])
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Maria Silva')

  await importPeople(database, [{ id: 'p7', name: 'Another name', email: 'else@example.com' }])
  t.strictSame(count.get(), [201, 200])
})
