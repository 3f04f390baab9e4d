import t from 'tap'
import { allRows, build } from '../../build.js'
import { handleKind } from '../../handle.js'
import { internal } from '../../refusals.js'

// A trigger of the host calls an SQL function of the host.

const onBlank = "CREATE TRIGGER t AFTER UPDATE ON omnichannel_contact WHEN old.id = 'blank' BEGIN SELECT of_the_host(); END"

t.test('a function that throws any value: 500 for that update, the others of the batch are made', async (t) => {
  const things: Record<string, unknown> = { 'an error': new Error('no'), 'a text': 'no', null: null, undefined }
  for (const [situation, thrown] of Object.entries(things)) {
    const { update, database, db } = await build(t)
    database.function('of_the_host', () => { throw thrown })
    database.exec(onBlank)
    const before = await allRows(db)
    const replies = await Promise.all([
      update({ contactId: 'maria', phones: ['1'] }), update({ contactId: 'blank', name: 'X' }), update({ contactId: 'maria', phones: ['2'] })
    ])
    t.strictSame(replies.map((reply) => reply.statusCode), [200, 500, 200], situation)
    t.strictSame(replies[1].json(), internal)
    t.strictSame((await allRows(db)).omnichannel_contact![0], before.omnichannel_contact![0])
    t.match((await allRows(db)).omnichannel_contact_phone, [{ phone_number: '2' }])
  }
})

t.test('a function that queries the same handle: the same', { skip: handleKind === 'node:sqlite' && 'node:sqlite allows it' }, async (t) => {
  const { update, database, db } = await build(t, { lockTimeout: 100 })
  database.function('of_the_host', () => database.prepare('SELECT 1').pluck().get())
  database.exec(onBlank)
  const replies = await Promise.all([
    update({ contactId: 'maria', phones: ['1'] }), update({ contactId: 'blank', name: 'X' }), update({ contactId: 'maria', phones: ['2'] })
  ])
  t.strictSame(replies.map((reply) => reply.statusCode), [200, 500, 200])
  t.strictSame(replies[1].json(), internal)
  t.match((await allRows(db)).omnichannel_contact, [{ name: '', version: 1 }, {}, { id: 'maria', version: 3 }])
})
