// Answers stored for idempotency keys are deleted with the row of their contact, in every way in which a host may delete it.

import type { Test } from 'tap'
import { as, build } from '../helpers/build.js'
import type { Db } from '../helpers/database.js'
import both, { dialectOf, postgres, sqlite } from '../helpers/engines.js'
import { openSchema } from '../helpers/postgres.js'

/** A database with stored answers: one of ann's updates of `blank`, a contact without lists, and one of bob's updates of `maria`. */
async function buildWithAnswers (t: Test) {
  const { update, db } = await build(t)
  const send = async (user: string, contactId: string) => {
    const { statusCode, headers } = await update({ contactId, phones: ['1'] }, { ...as(user), 'idempotency-key': 'k' })
    return { statusCode, isReplayed: headers['idempotency-replayed'] === 'true' }
  }
  t.strictSame(await send('bob', 'maria'), { statusCode: 200, isReplayed: false })
  t.strictSame(await send('ann', 'blank'), { statusCode: 200, isReplayed: false })
  await db.exec("DELETE FROM omnichannel_contact_phone WHERE contact_id = 'blank'")
  return { db, send }
}

async function answers (db: Db): Promise<string[]> {
  return await db.column('SELECT contact_id FROM omnichannel_idempotency_key ORDER BY user_id, key')
}

const insert = "INSERT INTO omnichannel_contact (id, name) VALUES ('blank', 'New')"
const gone = {
  'is deleted': "DELETE FROM omnichannel_contact WHERE id = 'blank'",
  'gets another id': "UPDATE omnichannel_contact SET id = 'other', name = 'Other' WHERE id = 'blank'",
  'gets another id by an upsert': `${insert} ON CONFLICT (id) DO UPDATE SET id = 'other'`
}
for (const [event, sql] of Object.entries(gone)) {
  both.test(`a contact that ${event}: its answers are deleted, others stay, with foreign keys on or off`, async (t) => {
    for (const foreignKeys of dialectOf(t) === 'sqlite' ? ['ON', 'OFF'] : ['']) {
      const { db, send } = await buildWithAnswers(t)
      if (foreignKeys !== '') await db.exec(`PRAGMA foreign_keys = ${foreignKeys}`)
      await db.exec(sql)
      t.strictSame(await answers(db), ['maria'])
      t.strictSame(await send('ann', 'blank'), { statusCode: 400, isReplayed: false })
      t.strictSame(await send('bob', 'maria'), { statusCode: 200, isReplayed: true })
    }
  })
}

const kept = [
  "UPDATE omnichannel_contact SET id = id, name = 'Other' WHERE id = 'blank'",
  "UPDATE omnichannel_contact SET id = 'blank' WHERE id = 'blank'",
  "UPDATE omnichannel_contact SET name = 'Other', version = 9",
  `${insert} ON CONFLICT (id) DO NOTHING`,
  `${insert} ON CONFLICT (id) DO UPDATE SET name = 'Other'`,
  `${insert} ON CONFLICT (id) DO UPDATE SET id = excluded.id`
]
both.test('a write that keeps the id of a contact: the stored answers are kept', async (t) => {
  const { db, send } = await buildWithAnswers(t)
  for (const sql of kept) {
    await db.exec(sql)
    t.strictSame(await answers(db), ['blank', 'maria'].sort(), sql)
  }
  t.strictSame(await send('ann', 'blank'), { statusCode: 200, isReplayed: true })
})

const replaced = {
  'REPLACE INTO': insert.replace('INSERT', 'REPLACE'),
  'INSERT OR REPLACE': insert.replace('INSERT', 'INSERT OR REPLACE'),
  'UPDATE OR REPLACE': "UPDATE OR REPLACE omnichannel_contact SET id = 'blank' WHERE id = 'gone'"
}
for (const [statement, sql] of Object.entries(replaced)) {
  sqlite.test(`${statement}: the answers of the replaced row are deleted, others stay`, async (t) => {
    for (const pragma of ['recursive_triggers = OFF', 'recursive_triggers = ON', 'foreign_keys = OFF']) {
      const { db, send } = await buildWithAnswers(t)
      await db.exec(`PRAGMA ${pragma}`)
      await db.exec(sql)
      t.strictSame(await answers(db), ['maria'], pragma)
      await db.exec("UPDATE omnichannel_contact SET enabled = TRUE WHERE id = 'blank'")
      t.strictSame(await send('ann', 'blank'), { statusCode: 200, isReplayed: false })
    }
  })
}

sqlite.test('a contact inserted under an id with leftover answers: they are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  await db.exec(`DROP TRIGGER omnichannel_contact_forgotten; DELETE FROM omnichannel_contact WHERE id = 'blank'`)
  t.strictSame(await answers(db), ['blank', 'maria'])
  await db.exec(insert)
  t.strictSame(await answers(db), ['maria'])
})

postgres.test('MERGE, TRUNCATE CASCADE: the answers are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  await db.exec(`MERGE INTO omnichannel_contact USING (SELECT 'blank' AS old, 'other' AS new) AS source ON id = old
    WHEN MATCHED THEN UPDATE SET id = new`)
  t.strictSame(await answers(db), ['maria'])
  await db.exec('TRUNCATE omnichannel_contact CASCADE')
  t.strictSame(await answers(db), [])
})

postgres.test('a session with another search_path changes the id of a contact: the answers are deleted', async (t) => {
  const { db } = await buildWithAnswers(t)
  const schema = (await db.value<string>('SELECT current_schema()'))!
  const { database, close } = await openSchema()
  t.teardown(close)
  await database.query(`UPDATE ${schema}.omnichannel_contact SET id = 'other' WHERE id = 'blank'`)
  t.strictSame(await answers(db), ['maria'])
})
