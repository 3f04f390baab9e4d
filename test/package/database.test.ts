// Runs the SQL of the docs: views of the host in place of our tables, and how to erase a contact.

import Database from 'better-sqlite3'
import fastify from 'fastify'
import type { Test } from 'tap'
import omnichannelContacts, { hashToken } from '../../src/index.js'
import { allRows, as, build, path, type TestServer } from '../helpers/test-server.js'
import t, { sqlite } from '../helpers/engines.js'
import { doc, docs, readme } from './pages.js'

const personalData = doc('personal-data').text
const sqlBlocks = [readme, ...docs].flatMap(({ blocks }) => blocks).filter(({ language }) => language === 'sql').map(({ text }) => text)
const createViews = sqlBlocks.find((text) => text.includes('CREATE VIEW'))!
const eraseMaria = sqlBlocks.find((text) => text.includes('DELETE FROM'))!

t.test('the SQL in README and docs: two blocks, both tested here', async (t) => {
  t.same(new Set(sqlBlocks), new Set([createViews, eraseMaria]))
})

sqlite.test('the views over a table of the host: a user who is an agent there may update, another may not', async (t) => {
  const database = new Database(':memory:')
  t.teardown(() => { database.close() })
  database.exec(createViews)
  database.exec(createViews) // A host runs this SQL at each start.
  database.exec("INSERT INTO account VALUES (7, 'ann', 1), (8, 'nick', 0)")
  const app = fastify()
  await app.register(omnichannelContacts, { database })
  database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  const addToken = database.prepare('INSERT INTO omnichannel_auth_token (user_id, hashed_token) VALUES (?, ?)')
  for (const id of ['7', '8']) {
    addToken.run(id, hashToken(`token-of-${id}`))
    const { statusCode } = await app.inject({ method: 'POST', url: path, headers: as(id), payload: { contactId: 'maria' } })
    t.equal(statusCode, id === '7' ? 200 : 403)
  }
})

/** Each row of maria has one of these texts, and no other row has one. */
const textsOfMaria = /maria|Mara|\+49 30|visitor-[12]|room-[12]|sub-[12]|inq-1/i

t.test('the SQL that erases a contact: removes it from every table', async (t) => {
  await checkErase(t, await build(t))
})

sqlite.test('the SQL that erases a contact, without foreign keys as in the sqlite3 shell: removes it from every table', async (t) => {
  const testServer = await build(t)
  testServer.database.pragma('foreign_keys = OFF')
  await checkErase(t, testServer)
})

/** Adds more rows of maria, erases her, and checks that exactly her rows are gone. */
async function checkErase (t: Test, { update, db }: TestServer): Promise<void> {
  for (const [user, contactId] of [['ann', 'maria'], ['bob', 'maria'], ['ann', 'blank']] as const) {
    const reply = await update({ contactId, name: contactId === 'maria' ? 'Mara' : 'Bianca' }, { ...as(user), 'idempotency-key': contactId })
    t.equal(reply.statusCode, 200)
  }
  await db.exec(`
    INSERT INTO omnichannel_subscription (id, room_id, visitor_id, name, fname) VALUES ('sub-4', 'room-2', 'visitor-4', 'Maria', 'Maria');
    INSERT INTO omnichannel_inquiry (id, room_id, visitor_id, name) VALUES ('inq-4', 'room-2', 'visitor-4', 'Maria')`)
  const before = await allRows(db)
  const tablesWithMaria = Object.keys(before).filter((table) => before[table]!.some(isOfMaria))
  t.strictSame(tablesWithMaria, [
    'omnichannel_contact', 'omnichannel_contact_channel', 'omnichannel_contact_email', 'omnichannel_contact_phone',
    'omnichannel_idempotency_key', 'omnichannel_inquiry', 'omnichannel_room', 'omnichannel_subscription'
  ], 'the tables with rows of maria')
  for (const table of tablesWithMaria) t.match(personalData, `\`${table}\``)

  await db.exec(eraseMaria)
  const expected = Object.entries(before).map(([table, list]) => [table, list.filter((row) => !isOfMaria(row))])
  t.strictSame(await allRows(db), Object.fromEntries(expected), 'only rows of maria are gone')

  const again = await update({ contactId: 'maria', name: 'Mara' }, { ...as('ann'), 'idempotency-key': 'maria' })
  t.strictSame(again.json(), { success: false, error: 'error-contact-not-found' }, 'her stored answer is not replayed')
}

function isOfMaria (row: unknown): boolean {
  return textsOfMaria.test(JSON.stringify(row))
}
