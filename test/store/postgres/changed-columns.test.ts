// Tables change while the server runs, and the prepared statements of every connection have the old types.

import { allRows, as, holdMaria } from '../../helpers/build.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe } from '../../helpers/observed.js'
import { backendThatWaits } from '../../helpers/postgres.js'

const body = {
  contactId: 'maria', name: 'Marie', emails: ['a@b.c'], phones: ['1', '2'], customFields: { plan: 'silver' }, contactManager: 'ann', wipeConflicts: true
}
const alter = (table: string, ...actions: string[]): string => `ALTER TABLE omnichannel_${table} ${actions.join(', ')}`
const type = (column: string, type: string): string => `ALTER COLUMN ${column} TYPE ${type}`

const changed: Record<string, string> = {
  'the version becomes a bigint': alter('contact', type('version', 'bigint')),
  'the version becomes a smallint': alter('contact', type('version', 'smallint')),
  'the version becomes a numeric': alter('contact', type('version', 'numeric')),
  'the version becomes a double': alter('contact', type('version', 'double precision')),
  'whether a contact is enabled becomes a smallint': `${alter('contact', 'ALTER COLUMN enabled DROP DEFAULT')}; ${alter('contact', type('enabled', 'smallint USING enabled::int'))}`,
  'whether a user is active becomes an integer': `${alter('user', 'ALTER COLUMN active DROP DEFAULT')}; ${alter('user', type('active', 'integer USING active::int'))}`,
  'the name becomes a varchar': alter('contact', type('name', 'varchar(200)')),
  'several columns change at once': alter('contact', type('version', 'bigint'), type('name', 'varchar'), type('contact_manager', 'varchar'), type('update_id', 'varchar(32)')),
  'ids of users and rooms become varchar': `${alter('user', type('id', 'varchar(99)'))}; ${alter('room', type('id', 'varchar(99)'), type('contact_id', 'varchar(99)'))}`,
  'the custom fields become text': `${alter('contact', 'DROP CONSTRAINT omnichannel_contact_custom_fields_check')}; ${alter('contact', 'ALTER COLUMN custom_fields DROP DEFAULT')};
    ${alter('contact', type('custom_fields', 'text'))}`,
  'times get another precision': alter('contact', type('updated_at', 'timestamptz'), type('last_chat_at', 'timestamptz(6)')),
  'e-mails become varchar': alter('contact_email', type('address', 'varchar(300)')),
  'phone numbers and positions change': alter('contact_phone', type('phone_number', 'varchar'), type('position', 'bigint')),
  'channels change': alter('contact_channel', type('name', 'varchar'), type('visitor_id', 'varchar')),
  'a user is named by a varchar': alter('user', type('username', 'varchar(100)'), type('name', 'varchar(100)')),
  'a definition of a custom field is a varchar': alter('custom_field', type('label', 'varchar'), type('regexp', 'varchar')),
  'the stored answer is a varchar': alter('idempotency_key', type('answer', 'varchar'), type('version', 'bigint')),
  'the statistic is a numeric': alter('statistic', type('value', 'numeric')),
  'a column of the host comes': alter('contact', 'ADD COLUMN shoe_size integer'),
  'a column of the host comes with a default': alter('user', "ADD COLUMN team text NOT NULL DEFAULT 'desk'"),
  'a column of the host goes': `${alter('contact', 'ADD COLUMN shoe_size integer')}; ${alter('contact', 'DROP COLUMN shoe_size')}`,
  'a table is made anew': `ALTER TABLE omnichannel_room RENAME TO old;
    CREATE TABLE omnichannel_room (LIKE old INCLUDING ALL); INSERT INTO omnichannel_room SELECT * FROM old; DROP TABLE old`,
  'a table becomes a view with another type': `ALTER TABLE omnichannel_user RENAME TO account;
    CREATE VIEW omnichannel_user AS SELECT id, username::varchar, name::varchar, active FROM account`,
  'an index and a constraint come': `CREATE INDEX host ON omnichannel_contact (name); ${alter('contact', 'ADD CHECK (length(name) < 1000)')}`
}
for (const pipeline of [true, false]) {
  for (const [name, sql] of Object.entries(changed)) {
    t.test(`${name}: every connection keeps working${pipeline ? '' : ', without pipelining'}`, async (t) => {
      const { update, db, called, notified, complaints, leftovers } = await observe(t, { pool: { pipeline, max: 3 } })
      const key = (name: string, index: number) => ({ ...as('ann'), 'idempotency-key': `${name}-${index}` })
      const together = async (name: string) => await Promise.all([0, 1, 2, 3, 4, 5].map(async (index) =>
        await update({ ...body, contactId: index % 2 === 0 ? 'maria' : 'blank', name: `${name} ${index}` }, key(name, index))))
      t.strictSame((await together('before')).map(({ statusCode }) => statusCode), [200, 200, 200, 200, 200, 200])
      const before = notified.length
      await db.exec(sql)
      const replies = await together('after')
      t.strictSame(replies.map((reply) => [reply.statusCode, reply.json().contact?.name]), [0, 1, 2, 3, 4, 5].map((index) => [200, `after ${index}`]))
      t.strictSame((await together('after')).map((reply) => reply.body), replies.map((reply) => reply.body), 'each is replayed')
      t.match((await allRows(db)).omnichannel_contact, [{ version: 7 }, {}, { version: 7 }])
      t.strictSame([notified.length - before, called.length, complaints(), await leftovers()], [6, 12, [], {}])
    })
  }
}

const ofLargePools: Record<string, string> = {
  'a column gets a type that no longer fits an operator': changed['whether a contact is enabled becomes a smallint']!,
  'a column that is read gets another type': changed['the version becomes a bigint']!
}
for (const [name, sql] of Object.entries(ofLargePools)) {
  t.test(`${name}, and 40 connections are stale: 200, long before lockTimeout`, async (t) => {
    const { update, db, called, complaints } = await observe(t, { pool: { max: 40 }, lockTimeout: 4000 })
    await holdMaria(db)
    const updating = Array.from({ length: 40 }, async () => await update({ contactId: 'maria', phones: [] }))
    await backendThatWaits(db, 40)
    await db.exec('COMMIT')
    await Promise.all(updating)
    await db.exec(sql)
    t.equal((await update(body)).headers.etag, '"42"')
    t.strictSame([called.length, complaints()], [41, []])
  })
}
