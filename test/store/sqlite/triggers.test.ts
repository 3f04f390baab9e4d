// Triggers of the host on SQLite.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { allRows } from '../../helpers/test-server.js'
import { withDatabase, openFile } from '../../helpers/sqlite-files.js'
import { observe, type Observed } from '../../helpers/observed-server.js'
import { body, checkMadeOnce, checkRefused } from '../triggers.js'

/** SQL that creates a trigger. */
const trigger = (when: string, table: string, work: string, condition = 'true'): string =>
  `CREATE TRIGGER host ${when} ON omnichannel_${table} WHEN ${condition} BEGIN ${work}; END`
const dropRow = 'SELECT RAISE(IGNORE)'

/** Triggers that drop or revert a part of an update. */
const harmful: Record<string, string> = {
  'drops the update of the contact': trigger('BEFORE UPDATE', 'contact', dropRow),
  'drops the update of the contact, for one column': trigger('BEFORE UPDATE OF name', 'contact', dropRow),
  'drops the deletion of phone numbers': `INSERT INTO omnichannel_contact_phone VALUES ('maria', 1, '2'), ('maria', 2, '3'); ${trigger('BEFORE DELETE', 'contact_phone', dropRow)}`,
  'drops new e-mails': trigger('BEFORE INSERT', 'contact_email', dropRow),
  'drops changed e-mails': trigger('BEFORE UPDATE', 'contact_email', dropRow),
  'drops the deletion of e-mails': trigger('BEFORE DELETE', 'contact_email', dropRow),
  'drops new phone numbers': trigger('BEFORE INSERT', 'contact_phone', dropRow),
  'drops one of the phone numbers': trigger('BEFORE INSERT', 'contact_phone', dropRow, "new.phone_number = '2'"),
  'drops the statistic': trigger('BEFORE INSERT', 'statistic', dropRow),
  'drops the stored answer': trigger('BEFORE INSERT', 'idempotency_key', dropRow),
  'reverts the contact': trigger('AFTER UPDATE', 'contact',
    'UPDATE omnichannel_contact SET name = old.name, version = old.version, update_id = old.update_id WHERE id = new.id', 'new.update_id IS NOT old.update_id'),
  'sets another update_id': trigger('AFTER UPDATE', 'contact', "UPDATE omnichannel_contact SET update_id = 'mine' WHERE id = new.id"),
  'takes the update_id away': trigger('AFTER UPDATE', 'contact', 'UPDATE omnichannel_contact SET update_id = NULL WHERE id = new.id'),
  'deletes the contact': trigger('AFTER INSERT', 'idempotency_key', 'DELETE FROM omnichannel_contact WHERE id = new.contact_id'),
  'reverts the contact when an e-mail is deleted': trigger('AFTER DELETE', 'contact_email', 'UPDATE omnichannel_contact SET update_id = NULL WHERE id = old.contact_id')
}
/** Matches the names of triggers that make updates of all contacts fail, even of contacts without lists. */
const harmsAllContacts = /^(drops the update|reverts the contact$|sets|takes)/
for (const [name, createTrigger] of Object.entries(harmful)) {
  t.test(`a trigger that ${name}: 500, nothing written`, async (t) => {
    await checkRefused(t, {
      createTrigger,
      dropTrigger: 'DROP TRIGGER host',
      otherStatus: harmsAllContacts.test(name) ? 500 : 200,
      logged: /A trigger or rule has changed what was written/
    })
  })
}

/** The rest of CREATE TRIGGER. The trigger reverts each update of a contact, unless its new name is Host. */
const revertUpdates = `AFTER UPDATE ON omnichannel_contact WHEN new.update_id IS NOT old.update_id AND new.name <> 'Host'
  BEGIN UPDATE omnichannel_contact SET name = old.name, version = old.version, update_id = old.update_id WHERE id = new.id; END`

/** How a host creates a trigger after updates without one. */
const creators: Record<string, (testServer: Observed, file: string) => void> = {
  'on the same handle': ({ database }) => { database.exec(`CREATE TRIGGER host ${revertUpdates}`) },
  'as a temporary trigger': ({ database }) => { database.exec(`CREATE TEMP TRIGGER host ${revertUpdates.replace('ON ', 'ON main.')}`) },
  'on another connection': (_world, file) => { withDatabase(file, (other) => { other.exec(`CREATE TRIGGER host ${revertUpdates}`) }) }
}
for (const [name, create] of Object.entries(creators)) {
  t.test(`a trigger that is created later, ${name}, and reverts the contact: 500, nothing written`, async (t) => {
    const file = join(t.testdir(), 'contacts.db')
    const testServer = await observe(t, { database: openFile(t, file) })
    const { update, db } = testServer
    for (const name of ['Mary', 'Mia']) t.equal((await update({ contactId: 'maria', name })).statusCode, 200)
    create(testServer, file)
    const before = await allRows(db)
    const replies = await Promise.all([update({ contactId: 'maria', name: 'Marie' }), update({ contactId: 'blank', name: 'Blank' })])
    t.strictSame(replies.map(({ statusCode }) => statusCode), [500, 500])
    t.strictSame(await allRows(db), before)
    testServer.database.exec('DROP TRIGGER host')
    t.equal((await update(body)).statusCode, 200)
  })
}

t.test('beforeCommit creates a trigger that reverts the next update of the batch: 500 for that one only', async (t) => {
  const { update, database, db } = await observe(t, {
    beforeCommit: ({ contact }, connection) => { if (contact.name === 'Host') connection.exec(`CREATE TRIGGER host ${revertUpdates}`) }
  })
  t.equal((await update({ contactId: 'maria', name: 'Mary' })).statusCode, 200)
  const replies = await Promise.all(['Host', 'Marie'].map(async (name) => await update({ contactId: 'maria', name })))
  t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 500])
  t.match((await allRows(db)).omnichannel_contact, [{}, {}, { id: 'maria', name: 'Host' }])
  database.exec('DROP TRIGGER host')
})

for (const clause of ['ON CONFLICT IGNORE', 'on conflict ignore', 'ON\n  CONFLICT /* as before */ IGNORE']) {
  t.test(`a table of the host that ignores the update of the contact, by ${JSON.stringify(clause)}: 500, nothing written`, async (t) => {
    const { update, database, db } = await observe(t, {
      host: (_app, { database }) => {
        const [createTable = ''] = /CREATE TABLE IF NOT EXISTS omnichannel_contact .*?STRICT, WITHOUT ROWID;/s.exec(readFileSync('schema.sql', 'utf8')) ?? []
        database.exec(createTable.replace(/name +TEXT +NOT NULL/, `$& UNIQUE ${clause}`))
      }
    })
    // The plugin must find the clause in any letter case, also if LIKE is case-sensitive.
    database.exec('PRAGMA case_sensitive_like = ON')
    t.ok(String(database.prepare("SELECT sql FROM sqlite_schema WHERE name = 'omnichannel_contact'").pluck().get()).includes(clause))
    t.equal((await update({ contactId: 'blank', name: 'Blank' })).statusCode, 200)
    const before = await allRows(db)
    t.equal((await update({ contactId: 'maria', name: 'Blank' })).statusCode, 500)
    t.strictSame(await allRows(db), before)
  })
}

/** Triggers that add to an update. */
const harmless: Record<string, string> = {
  'sets updated_at': trigger('AFTER UPDATE', 'contact', "UPDATE omnichannel_contact SET updated_at = '2026-06-01T00:00:00.000Z' WHERE id = new.id"),
  'sets version': trigger('AFTER UPDATE', 'contact', 'UPDATE omnichannel_contact SET version = version + 10 WHERE id = new.id'),
  'writes many rows elsewhere': `CREATE TABLE journal (name); ${trigger('AFTER UPDATE', 'contact', "INSERT INTO journal SELECT value FROM json_each('[1,2,3]')")}`,
  'ignores a write of its own': `CREATE TABLE journal (name UNIQUE); INSERT INTO journal VALUES ('Marie');
    ${trigger('AFTER UPDATE', 'contact', 'INSERT OR IGNORE INTO journal VALUES (new.name)')}`,
  'writes for each e-mail': `CREATE TABLE journal (name); ${trigger('AFTER INSERT', 'contact_email', 'INSERT INTO journal VALUES (new.address)')}`
}
for (const [name, createTrigger] of Object.entries(harmless)) {
  t.test(`a trigger that ${name}: the update is made once`, async (t) => { await checkMadeOnce(t, createTrigger) })
}
