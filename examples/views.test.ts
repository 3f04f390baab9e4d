// A rename changes the desk's own tables in the transaction of the update.
//
//   npx tap --disable-coverage examples/views.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp } from './views.js'

async function openTestApp (t: Test) {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  return {
    database,
    conversations: async () => (await app.inject('/conversations')).json<unknown>(),
    rename: async (name: string) => await app.inject({
      method: 'POST',
      url: '/api/v1/omnichannel/contacts.update',
      headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' },
      payload: { contactId: 'maria', name }
    })
  }
}

t.test('a renamed contact: its conversations and tabs get the name and the time of the update, others stay', async (t) => {
  const { database, conversations, rename } = await openTestApp(t)
  const reply = await rename('Maria Silva')
  t.equal(reply.statusCode, 200)
  t.strictSame(await conversations(), [
    { number: 1, title: 'Maria Silva', label: 'Maria Silva' },
    { number: 2, title: 'Maria Silva', label: null },
    { number: 3, title: 'João', label: 'João' }
  ])
  const times = database.prepare("SELECT DISTINCT changed FROM conversation WHERE customer = 'maria'").pluck()
  t.strictSame(times.all(), [reply.json().contact._updatedAt])
})

t.test('a table of the desk that refuses the name: the contact keeps its old name', async (t) => {
  const { database, conversations, rename } = await openTestApp(t)
  const before = await conversations()
  database.exec("CREATE TRIGGER refuse BEFORE UPDATE OF label ON tab BEGIN SELECT RAISE(ABORT, 'no'); END")
  t.equal((await rename('Maria Silva')).statusCode, 500)
  t.strictSame(await conversations(), before)
  t.equal(database.prepare("SELECT name FROM omnichannel_contact WHERE id = 'maria'").pluck().get(), 'Maria')
})

t.test('a rename: finds the rows of each table by an index', async (t) => {
  const { database } = await openTestApp(t)
  const plan = (sql: string): string => (database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as Array<{ detail: string }>)
    .map(({ detail }) => detail).join('; ')
  const plans = [
    plan("UPDATE omnichannel_room SET fname = 'x' WHERE contact_id = 'maria'"),
    plan("UPDATE omnichannel_subscription SET fname = 'x' WHERE visitor_id = 'visitor-1'"),
    plan("UPDATE omnichannel_inquiry SET name = 'x' WHERE visitor_id = 'visitor-1'")
  ]
  t.match(plans[0], 'conversation_customer')
  t.match(plans[1], 'conversation_visitor')
  t.match(plans[2], 'conversation_visitor')
  for (const each of plans) t.notMatch(each, /SCAN (conversation|tab)\b/)
})
