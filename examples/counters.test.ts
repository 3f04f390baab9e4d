// The counters after updates, and after the server is closed.
//
//   npx tap --disable-coverage examples/counters.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp } from './counters.js'

async function open (t: Test) {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  const update = async (body: object) => await app.inject({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' },
    payload: { contactId: 'maria', ...body }
  })
  return { app, database, update }
}

t.test('updates: counted by outcome or code, and commits with the number of their updates', async (t) => {
  const { app, update } = await open(t)
  await Promise.all(['A', 'B', 'C'].map(async (name) => await update({ name })))
  for (const body of [{}, { contactId: 'none' }, { contactId: 'none' }]) await update(body)
  const counters = (await app.inject('/counters')).json<{ commits: number, longestWait: number }>()
  t.match(counters, { updates: { committed: 3, unchanged: 1, FOC_CONTACT_NOT_FOUND: 2 }, committedUpdates: 3 })
  t.ok(counters.commits >= 1 && counters.commits <= 3)
  t.ok(counters.longestWait > 0)
})

t.test('a closed server: counts nothing', async (t) => {
  const [first, second] = [await open(t), await open(t)]
  await first.update({ name: 'A' })
  await first.app.close()
  await second.update({ name: 'B' })
  t.match((await second.app.inject('/counters')).json(), { updates: { committed: 2 } })
})
