// Answers stored for idempotency keys are deleted with the row of their contact, in every way in which a host may delete it.

import type { Test } from 'tap'
import { as, build } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'
import both, { dialectOf, postgres, sqlite } from '../helpers/engines.js'
import { openSchema } from '../helpers/postgres.js'

/**
 * A database with two stored answers, for the same key of two users: ann has updated `blank`, a contact without lists, and bob `maria`.
 * `repeat` sends one of these updates again.
 */
async function buildWithAnswers (t: Test) {
  const { update, db } = await build(t)
  const repeat = async (user: 'ann' | 'bob') => {
    const contactId = user === 'ann' ? 'blank' : 'maria'
    const { statusCode, headers } = await update({ contactId, phones: ['1'] }, { ...as(user), 'idempotency-key': 'key' })
    return { statusCode, isReplayed: headers['idempotency-replayed'] === 'true' }
  }
  t.strictSame(await repeat('bob'), { statusCode: 200, isReplayed: false })
  t.strictSame(await repeat('ann'), { statusCode: 200, isReplayed: false })
  await db.exec("DELETE FROM omnichannel_contact_phone WHERE contact_id = 'blank'")
  return { db, repeat }
}

/** The contacts of the stored answers. */
async function contactsWithAnswers (db: Db): Promise<string[]> {
  return await db.column('SELECT contact_id FROM omnichannel_idempotency_key ORDER BY user_id, key')
}

const insert = "INSERT INTO omnichannel_contact (id, name) VALUES ('blank', 'New')"
const statementsThatEndTheId = {
  'is deleted': "DELETE FROM omnichannel_contact WHERE id = 'blank'",
  'gets another id': "UPDATE omnichannel_contact SET id = 'other', name = 'Other' WHERE id = 'blank'",
  'gets another id by an upsert': `${insert} ON CONFLICT (id) DO UPDATE SET id = 'other'`
}
for (const [event, sql] of Object.entries(statementsThatEndTheId)) {
  both.test(`a contact that ${event}: its answers are deleted, others stay, with foreign keys on or off`, async (t) => {
    // On PostgreSQL they are always on.
    const settings = dialectOf(t) === 'sqlite' ? ['PRAGMA foreign_keys = ON', 'PRAGMA foreign_keys = OFF'] : ['SELECT 1']
    for (const setting of settings) {
      const { db, repeat } = await buildWithAnswers(t)
      await db.exec(setting)
      await db.exec(sql)
      t.strictSame(await contactsWithAnswers(db), ['maria'])
      t.strictSame(await repeat('ann'), { statusCode: 400, isReplayed: false })
      t.strictSame(await repeat('bob'), { statusCode: 200, isReplayed: true })
    }
  })
}

const statementsThatKeepTheId = [
  "UPDATE omnichannel_contact SET id = id, name = 'Other' WHERE id = 'blank'",
  "UPDATE omnichannel_contact SET id = 'blank' WHERE id = 'blank'",
  "UPDATE omnichannel_contact SET name = 'Other', version = 9",
  `${insert} ON CONFLICT (id) DO NOTHING`,
  `${insert} ON CONFLICT (id) DO UPDATE SET name = 'Other'`,
  `${insert} ON CONFLICT (id) DO UPDATE SET id = excluded.id`
]
both.test('a write that keeps the id of a contact: the stored answers are kept', async (t) => {
  const { db, repeat } = await buildWithAnswers(t)
  for (const sql of statementsThatKeepTheId) {
    await db.exec(sql)
    t.strictSame(await contactsWithAnswers(db), ['blank', 'maria'], sql)
  }
  t.strictSame(await repeat('ann'), { statusCode: 200, isReplayed: true })
})

const statementsThatReplaceTheRow = {
  'REPLACE INTO': insert.replace('INSERT', 'REPLACE'),
  'INSERT OR REPLACE': insert.replace('INSERT', 'INSERT OR REPLACE'),
  'UPDATE OR REPLACE': "UPDATE OR REPLACE omnichannel_contact SET id = 'blank' WHERE id = 'gone'"
}
for (const [statement, sql] of Object.entries(statementsThatReplaceTheRow)) {
  sqlite.test(`${statement}: the answers of the replaced row are deleted, others stay`, async (t) => {
    for (const pragma of ['recursive_triggers = OFF', 'recursive_triggers = ON', 'foreign_keys = OFF']) {
      const { db, repeat } = await buildWithAnswers(t)
      await db.exec(`PRAGMA ${pragma}`)
      await db.exec(sql)
      t.strictSame(await contactsWithAnswers(db), ['maria'], pragma)
      // The third statement puts a disabled contact in its place.
      await db.exec("UPDATE omnichannel_contact SET enabled = TRUE WHERE id = 'blank'")
      t.strictSame(await repeat('ann'), { statusCode: 200, isReplayed: false })
    }
  })
}

sqlite.test('a contact is inserted under an id whose answers were left over: they are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  // Without this trigger, the deletion leaves the answers.
  await db.exec(`DROP TRIGGER omnichannel_contact_forgotten; DELETE FROM omnichannel_contact WHERE id = 'blank'`)
  t.strictSame(await contactsWithAnswers(db), ['blank', 'maria'])
  await db.exec(insert)
  t.strictSame(await contactsWithAnswers(db), ['maria'])
})

postgres.test('MERGE gives a contact another id: its answers are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  await db.exec(`MERGE INTO omnichannel_contact USING (SELECT 'blank' AS old, 'other' AS new) AS source ON id = old
    WHEN MATCHED THEN UPDATE SET id = new`)
  t.strictSame(await contactsWithAnswers(db), ['maria'])
})

postgres.test('TRUNCATE CASCADE of the contacts: all answers are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  await db.exec('TRUNCATE omnichannel_contact CASCADE')
  t.strictSame(await contactsWithAnswers(db), [])
})

postgres.test('a session with another search_path changes the id of a contact: its answers are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  const schema = (await db.value<string>('SELECT current_schema()'))!
  const { database, close } = await openSchema()
  t.teardown(close)
  await database.query(`UPDATE ${schema}.omnichannel_contact SET id = 'other' WHERE id = 'blank'`)
  t.strictSame(await contactsWithAnswers(db), ['maria'])
})
