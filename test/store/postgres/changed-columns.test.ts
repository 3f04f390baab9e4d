// A host changes tables while the server runs. Then the prepared statements of every connection have the old types.

import type { Pool } from 'pg'
import { allRows, as, lockMaria } from '../../helpers/test-server.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe } from '../../helpers/observed-server.js'
import { backendThatWaits } from '../../helpers/postgres.js'

const body = {
  contactId: 'maria', name: 'Marie', emails: ['a@b.c'], phones: ['1', '2'], customFields: { plan: 'silver' }, contactManager: 'ann', wipeConflicts: true
}
const alter = (table: string, ...actions: string[]): string => `ALTER TABLE omnichannel_${table} ${actions.join(', ')}`
const setType = (column: string, type: string): string => `ALTER COLUMN ${column} TYPE ${type}`

const changes: Record<string, string> = {
  'the version becomes a bigint': alter('contact', setType('version', 'bigint')),
  'the version becomes a smallint': alter('contact', setType('version', 'smallint')),
  'the version becomes a numeric': alter('contact', setType('version', 'numeric')),
  'the version becomes a double': alter('contact', setType('version', 'double precision')),
  'whether a contact is enabled becomes a smallint': `${alter('contact', 'ALTER COLUMN enabled DROP DEFAULT')}; ${alter('contact', setType('enabled', 'smallint USING enabled::int'))}`,
  'whether a user is active becomes an integer': `${alter('user', 'ALTER COLUMN active DROP DEFAULT')}; ${alter('user', setType('active', 'integer USING active::int'))}`,
  'the name becomes a varchar': alter('contact', setType('name', 'varchar(200)')),
  'several columns change at once': alter('contact', setType('version', 'bigint'), setType('name', 'varchar'), setType('contact_manager', 'varchar'), setType('update_id', 'varchar(32)')),
  'ids of users and rooms become varchar': `${alter('user', setType('id', 'varchar(99)'))}; ${alter('room', setType('id', 'varchar(99)'), setType('contact_id', 'varchar(99)'))}`,
  'the custom fields become text': `${alter('contact', 'DROP CONSTRAINT omnichannel_contact_custom_fields_check')}; ${alter('contact', 'ALTER COLUMN custom_fields DROP DEFAULT')};
    ${alter('contact', setType('custom_fields', 'text'))}`,
  'times get another precision': alter('contact', setType('updated_at', 'timestamptz'), setType('last_chat_at', 'timestamptz(6)')),
  'e-mails become varchar': alter('contact_email', setType('address', 'varchar(300)')),
  'phone numbers and positions change': alter('contact_phone', setType('phone_number', 'varchar'), setType('position', 'bigint')),
  'channels change': alter('contact_channel', setType('name', 'varchar'), setType('visitor_id', 'varchar')),
  'a user is named by a varchar': alter('user', setType('username', 'varchar(100)'), setType('name', 'varchar(100)')),
  'a definition of a custom field is a varchar': alter('custom_field', setType('label', 'varchar'), setType('regexp', 'varchar')),
  'the stored answer is a varchar': alter('idempotency_key', setType('answer', 'varchar'), setType('version', 'bigint')),
  'the statistic is a numeric': alter('statistic', setType('value', 'numeric')),
  'a column of the host is added': alter('contact', 'ADD COLUMN shoe_size integer'),
  'a column of the host is added with a default': alter('user', "ADD COLUMN team text NOT NULL DEFAULT 'desk'"),
  'a column of the host is added and dropped': `${alter('contact', 'ADD COLUMN shoe_size integer')}; ${alter('contact', 'DROP COLUMN shoe_size')}`,
  'a table is created anew': `ALTER TABLE omnichannel_room RENAME TO old;
    CREATE TABLE omnichannel_room (LIKE old INCLUDING ALL); INSERT INTO omnichannel_room SELECT * FROM old; DROP TABLE old`,
  'a table becomes a view with another type': `ALTER TABLE omnichannel_user RENAME TO account;
    CREATE VIEW omnichannel_user AS SELECT id, username::varchar, name::varchar, active FROM account`,
  'an index and a constraint are added': `CREATE INDEX host ON omnichannel_contact (name); ${alter('contact', 'ADD CHECK (length(name) < 1000)')}`
}
for (const pipeline of [true, false]) {
  for (const [change, sql] of Object.entries(changes)) {
    t.test(`${change}: every connection keeps working${pipeline ? '' : ', without pipelining'}`, async (t) => {
      const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await observe(t, { pool: { pipeline, max: 3 } })
      /** Sends six updates at once, three of each contact, so that all connections are used. */
      const sendSix = async (name: string) => await Promise.all([0, 1, 2, 3, 4, 5].map(async (index) => {
        const contactId = index % 2 === 0 ? 'maria' : 'blank'
        return await update({ ...body, contactId, name: `${name} ${index}` }, { ...as('ann'), 'idempotency-key': `${name}-${index}` })
      }))
      t.strictSame((await sendSix('before')).map(({ statusCode }) => statusCode), [200, 200, 200, 200, 200, 200])
      const notifiedBefore = eventsAfterCommit.length
      await db.exec(sql)
      const replies = await sendSix('after')
      t.strictSame(replies.map((reply) => [reply.statusCode, reply.json().contact?.name]), [0, 1, 2, 3, 4, 5].map((index) => [200, `after ${index}`]))
      t.strictSame((await sendSix('after')).map((reply) => reply.body), replies.map((reply) => reply.body), 'each is replayed')
      t.match((await allRows(db)).omnichannel_contact, [{ version: 7 }, {}, { version: 7 }])
      t.strictSame([eventsAfterCommit.length - notifiedBefore, eventsBeforeCommit.length, warningTexts(), await leftovers()], [6, 12, [], {}])
    })
  }
}

/** SQL by which every connection becomes unusable: of another connection, or of the host on each of them. */
const changesWithLargePool: Array<[name: string, by: 'another connection' | 'each client', sql: string]> = [
  ['a column gets a type that no longer fits an operator', 'another connection', changes['whether a contact is enabled becomes a smallint']!],
  ['a column that is read gets another type', 'another connection', changes['the version becomes a bigint']!],
  ['the host has deallocated what the plugin has prepared', 'each client', 'DISCARD ALL'],
  ['the host has left each in a transaction', 'each client', 'BEGIN'],
  ['the host has left each with another encoding', 'each client', 'SET client_encoding TO LATIN1'],
  ['the host has left each read-only', 'each client', 'SET default_transaction_read_only TO on']
]
for (const [name, by, sql] of changesWithLargePool) {
  t.test(`${name}, and 40 connections are stale: 200, long before lockTimeout`, async (t) => {
    const { update, db, database, eventsBeforeCommit, warningTexts } = await observe(t, { pool: { max: 40 }, lockTimeout: 4000 })
    // While Maria is locked, each update opens a connection.
    await lockMaria(db)
    const updating = Array.from({ length: 40 }, async () => await update({ contactId: 'maria', phones: [] }))
    await backendThatWaits(db, 40)
    await db.exec('COMMIT')
    await Promise.all(updating)
    const pool = database as unknown as Pool
    if (by === 'another connection') await db.exec(sql)
    else {
      const clients = await Promise.all(Array.from({ length: 40 }, async () => await pool.connect()))
      for (const client of clients) await client.query(sql)
      for (const client of clients) client.release()
    }
    t.equal((await update(body)).headers.etag, '"42"')
    t.strictSame([eventsBeforeCommit.length, warningTexts()], [41, []])
  })
}
