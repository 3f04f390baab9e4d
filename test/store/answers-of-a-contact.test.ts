// Answers stored for idempotency keys go when the row of their contact goes, however a host makes it go.

import type Database from 'better-sqlite3'
import type { Test } from 'tap'
import { as, build, rows } from '../build.js'
import both, { postgres, sqlite } from '../engines.js'
import { openSchema } from '../postgres-handle.js'

/** A database in which ann has an answer for `blank`, who has no lists, and bob one for `maria`. */
async function buildWithAnswers (t: Test) {
  const { update, database } = await build(t)
  const send = async (user: string, contactId: string) => {
    const { statusCode, headers } = await update({ contactId, phones: ['1'] }, { ...as(user), 'idempotency-key': 'k' })
    return { statusCode, isReplayed: headers['idempotency-replayed'] === 'true' }
  }
  t.strictSame(await send('bob', 'maria'), { statusCode: 200, isReplayed: false })
  t.strictSame(await send('ann', 'blank'), { statusCode: 200, isReplayed: false })
  database.exec("DELETE FROM omnichannel_contact_phone WHERE contact_id = 'blank'")
  return { database, send }
}

function answers (database: Database.Database): unknown[] {
  return rows(database).omnichannel_idempotency_key!.map((row) => (row as { contact_id: string }).contact_id)
}

const insert = "INSERT INTO omnichannel_contact (id, name) VALUES ('blank', 'New')"
const gone = {
  'is deleted': "DELETE FROM omnichannel_contact WHERE id = 'blank'",
  'gets another id': "UPDATE omnichannel_contact SET id = 'other', name = 'Other' WHERE id = 'blank'",
  'gets another id by an upsert': `${insert} ON CONFLICT (id) DO UPDATE SET id = 'other'`
}
for (const [event, sql] of Object.entries(gone)) {
  both.test(`a contact that ${event}: its answers go, others stay`, async (t) => {
    const { database, send } = await buildWithAnswers(t)
    database.exec(sql)
    t.strictSame(answers(database), ['maria'])
    t.strictSame(await send('ann', 'blank'), { statusCode: 400, isReplayed: false })
    t.strictSame(await send('bob', 'maria'), { statusCode: 200, isReplayed: true })
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
both.test('a contact whose id stays: its answers stay', async (t) => {
  const { database, send } = await buildWithAnswers(t)
  for (const sql of kept) {
    database.exec(sql)
    t.strictSame(answers(database), ['blank', 'maria'].sort(), sql)
  }
  t.strictSame(await send('ann', 'blank'), { statusCode: 200, isReplayed: true })
})

const replaced = {
  'REPLACE INTO': insert.replace('INSERT', 'REPLACE'),
  'INSERT OR REPLACE': insert.replace('INSERT', 'INSERT OR REPLACE'),
  'UPDATE OR REPLACE': "UPDATE OR REPLACE omnichannel_contact SET id = 'blank' WHERE id = 'gone'"
}
for (const [statement, sql] of Object.entries(replaced)) {
  sqlite.test(`${statement}: the answers of the row before go, others stay`, async (t) => {
    for (const pragma of ['recursive_triggers = OFF', 'recursive_triggers = ON', 'foreign_keys = OFF']) {
      const { database, send } = await buildWithAnswers(t)
      database.pragma(pragma)
      database.exec(sql)
      t.strictSame(answers(database), ['maria'], pragma)
      database.exec("UPDATE omnichannel_contact SET enabled = 1 WHERE id = 'blank'")
      t.strictSame(await send('ann', 'blank'), { statusCode: 200, isReplayed: false })
    }
  })
}

sqlite.test('a contact that is inserted under an id whose answers were left behind: they go', async (t) => {
  const { database } = await buildWithAnswers(t)
  database.exec(`DROP TRIGGER omnichannel_contact_forgotten; DELETE FROM omnichannel_contact WHERE id = 'blank'`)
  t.strictSame(answers(database), ['blank', 'maria'])
  database.exec(insert)
  t.strictSame(answers(database), ['maria'])
})

postgres.test('TRUNCATE CASCADE, MERGE: the answers go', async (t) => {
  const { database } = await buildWithAnswers(t)
  database.exec(`MERGE INTO omnichannel_contact USING (SELECT 'blank' AS old, 'other' AS new) AS source ON id = old
    WHEN MATCHED THEN UPDATE SET id = new`)
  t.strictSame(answers(database), ['maria'])
  database.exec('TRUNCATE omnichannel_contact CASCADE')
  t.strictSame(answers(database), [])
})

postgres.test('a session with another search_path that gives a contact another id: the answers go', async (t) => {
  const { database } = await buildWithAnswers(t)
  const schema = database.prepare<[], string>('SELECT current_schema()').pluck().get()!
  const { given, close } = await openSchema()
  t.teardown(close)
  await given.query(`UPDATE ${schema}.omnichannel_contact SET id = 'other' WHERE id = 'blank'`)
  t.strictSame(answers(database), ['maria'])
})
