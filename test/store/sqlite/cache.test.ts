// Callers, agents and custom fields are cached. Any write, by any connection, is seen by the next update.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { allRows, as, build, type Setup, type TestServer } from '../../helpers/test-server.js'
import { withDatabase } from '../../helpers/sqlite-files.js'
import { openHandle } from '../../helpers/open-handle.js'
import * as refusals from '../../helpers/refusals.js'
import { nameOfMaria, waitTurns } from '../../helpers/waiting.js'

const unauthorized = [401, refusals.unauthorized]
const forbidden = [403, refusals.forbidden]
/** An update that needs the caller, an agent and the custom fields. */
const body = { contactId: 'maria', name: 'Marie', customFields: { plan: 'gold' }, contactManager: 'bob' }
/** Matches a query of a table whose rows are cached. */
const readsCachedTable = /FROM "?main"?\."omnichannel_(?:auth_token|user|user_role|custom_field)"/i

interface RecordedWorld extends TestServer {
  file: string
  /** Returns the queries of cached tables since the last call, and forgets them. */
  takeQueries: () => string[]
}

/** Makes two updates, after which the rows that they need are cached. */
async function fillCache (t: Test, { update }: TestServer): Promise<void> {
  for (const name of ['Marie', 'Mary']) t.equal((await update({ ...body, name })).statusCode, 200)
}

async function buildRecorded (t: Test, setup: Setup = {}): Promise<RecordedWorld> {
  const file = join(t.testdir(), 'contacts.db')
  const statements: string[] = []
  const database = openHandle(file, { verbose: (sql) => { statements.push(String(sql)) } })
  database.pragma('journal_mode = WAL')
  const testServer = await build(t, { database, ...setup })
  return { ...testServer, file, takeQueries: () => statements.splice(0).filter((sql) => readsCachedTable.test(sql.replaceAll('`', '"'))) }
}

t.test('unchanged rows: read once', async (t) => {
  const testServer = await buildRecorded(t)
  const { update, takeQueries } = testServer
  await fillCache(t, testServer)
  t.not(takeQueries().length, 0)
  for (const name of ['Mia', 'Maria', 'Marie']) t.equal((await update({ ...body, name })).statusCode, 200)
  t.strictSame(takeQueries(), [])
})

t.test('an unknown caller: looked up each time, and accepted as soon as the rows are there', async (t) => {
  const { update, database, takeQueries } = await buildRecorded(t)
  const headers = { 'x-user-id': 'zoe', 'x-auth-token': 'token-of-ann' }
  await update(body)
  takeQueries()
  for (let call = 0; call < 3; call++) t.equal((await update(body, headers)).statusCode, 401)
  t.equal(takeQueries().length, 3)
  database.exec(`
    INSERT INTO omnichannel_user (id) VALUES ('zoe');
    UPDATE omnichannel_auth_token SET user_id = 'zoe' WHERE user_id = 'ann';
    INSERT INTO omnichannel_user_role VALUES ('zoe', 'livechat-agent')`)
  t.equal((await update(body, headers)).statusCode, 200)
  t.equal((await update(body)).statusCode, 401)
})

/** What changes between two updates: the SQL, and the answer to the second update. */
const situations: Record<string, [sql: string, answer: unknown]> = {
  'a user who is deactivated': ["UPDATE omnichannel_user SET active = 0 WHERE id = 'ann'", unauthorized],
  'a token that is revoked': ["DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", unauthorized],
  'a token that expires': ["UPDATE omnichannel_auth_token SET expires_at = '2026-01-01T00:00:00.000Z'", unauthorized],
  'a role that is taken away': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", forbidden],
  'a permission that is withdrawn': ['DELETE FROM omnichannel_role_permission', forbidden],
  'an agent who loses the role': ["DELETE FROM omnichannel_user_role WHERE user_id = 'bob'",
    [400, { success: false, error: 'error-contact-manager-not-found' }]],
  'a pattern that is changed': ["UPDATE omnichannel_custom_field SET regexp = '^silver$' WHERE id = 'plan'",
    [400, { success: false, error: 'Invalid value for Plan field' }]],
  'a table that becomes a view': ['ALTER TABLE omnichannel_role_permission RENAME TO old; CREATE VIEW omnichannel_role_permission AS SELECT * FROM old WHERE 0', forbidden]
}

type Change = (testServer: RecordedWorld, sql: string) => unknown

/** Adds a trigger that runs the SQL when an update sets the name Change. */
const addTrigger: Change = ({ database }, sql) =>
  database.exec(`CREATE TRIGGER change AFTER UPDATE ON omnichannel_contact WHEN new.name = 'Change' BEGIN ${sql}; END`)

/** How the change is made between two updates. */
const writers: Record<string, Change> = {
  'by the host on the same handle': ({ database }, sql) => database.exec(sql),
  'by another connection': ({ file }, sql) => { withDatabase(file, (other) => other.exec(sql)) },
  'by a trigger of the update before': async (testServer, sql) => {
    addTrigger(testServer, sql)
    for (const name of ['Warm', 'Change']) await testServer.update({ contactId: 'maria', name })
  }
}

for (const [situation, [sql, answer]] of Object.entries(situations)) {
  // A trigger cannot alter a table.
  const canRunInTrigger = !sql.startsWith('ALTER')
  for (const [writer, change] of Object.entries(writers)) {
    if (writer.includes('trigger') && !canRunInTrigger) continue
    t.test(`${situation}, ${writer}: the next update sees it`, async (t) => {
      const testServer = await buildRecorded(t)
      await fillCache(t, testServer)
      await change(testServer, sql)
      const before = await allRows(testServer.db)
      const reply = await testServer.update({ ...body, name: 'Mia' })
      t.strictSame([reply.statusCode, reply.json()], answer)
      t.strictSame(await allRows(testServer.db), before)
    })
  }

  for (const writer of ['beforeCommit', ...canRunInTrigger ? ['a trigger'] : []]) {
    t.test(`${situation}, by ${writer} of the update before in the same transaction: the next update sees it`, async (t) => {
      const beforeCommit: Setup['beforeCommit'] = ({ contact }, connection) => { if (contact.name === 'Change') connection.exec(sql) }
      const testServer = await buildRecorded(t, writer === 'beforeCommit' ? { beforeCommit } : {})
      if (writer === 'a trigger') addTrigger(testServer, sql)
      const { update, db } = testServer
      await fillCache(t, testServer)
      const [first, second] = await Promise.all([update({ contactId: 'maria', name: 'Change' }), update({ ...body, name: 'Mia' })])
      t.equal(first.statusCode, 200)
      t.strictSame([second.statusCode, second.json()], answer)
      t.equal(await nameOfMaria(db), 'Change')
    })
  }
}

t.test('a cached token that expires: 401 without a query', async (t) => {
  const { update, database, takeQueries } = await buildRecorded(t)
  const expires = new Date(Date.now() + 60_000).toISOString()
  database.prepare("UPDATE omnichannel_auth_token SET expires_at = ? WHERE user_id = 'ann'").run(expires)
  t.equal((await update(body)).statusCode, 200)
  t.equal((await update(body)).statusCode, 200)
  takeQueries()
  const { now } = Date
  t.intercept(Date, 'now', { value: () => now() + 60_000 })
  t.equal((await update(body)).statusCode, 401)
  t.strictSame(takeQueries(), [])
})

t.test('views of the host: read each time, because their rows can depend on anything', async (t) => {
  let active = 1
  const testServer = await buildRecorded(t, {
    host: (_app, { database }) => {
      database.function('is_active', { deterministic: false }, () => active)
      database.exec(`
        CREATE TABLE people (id TEXT PRIMARY KEY, username TEXT, name TEXT, active INTEGER);
        CREATE VIEW omnichannel_user AS SELECT id, username, name, is_active() AS active FROM people;
        CREATE TRIGGER add_user INSTEAD OF INSERT ON omnichannel_user BEGIN
          INSERT OR IGNORE INTO people VALUES (new.id, new.username, new.name, new.active);
        END`)
    }
  })
  await fillCache(t, testServer)
  t.ok(testServer.takeQueries().length > 4, 'both updates have read it')
  active = 0
  t.equal((await testServer.update(body)).statusCode, 401)
})

t.test('a token that is deleted by a transaction of the host, which is rolled back: the update waits, and is made', async (t) => {
  const testServer = await buildRecorded(t)
  const { update, database } = testServer
  await fillCache(t, testServer)
  database.exec("BEGIN; DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'")
  const waiting = update({ ...body, name: 'Mia' })
  await waitTurns(5)
  database.exec('ROLLBACK')
  t.equal((await waiting).statusCode, 200)
})

t.test('a user who is deactivated, and a body that is not JSON: 401', async (t) => {
  const { update, post, database, file } = await buildRecorded(t)
  const deactivate = "UPDATE omnichannel_user SET active = 0 WHERE id = 'ann'"
  for (let call = 0; call < 3; call++) t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  database.exec(deactivate)
  t.equal((await post('{')).statusCode, 401, 'by the host, in the same turn of the event loop')

  database.exec("UPDATE omnichannel_user SET active = 1 WHERE id = 'ann'")
  for (let call = 0; call < 3; call++) t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  withDatabase(file, (other) => { other.exec(deactivate) })
  await waitTurns(1)
  t.equal((await post('{')).statusCode, 401, 'by another connection, a turn later')
})

/** More than the cache holds. */
const manyCalls = 1010

/** Makes many calls, ten at a time, and returns their statuses. */
async function callInTens (call: (number: number) => Promise<{ statusCode: number }>): Promise<Set<number>> {
  const statuses = new Set<number>()
  for (let first = 1; first <= manyCalls; first += 10) {
    const replies = await Promise.all(Array.from({ length: 10 }, async (_, index) => await call(first + index)))
    for (const { statusCode } of replies) statuses.add(statusCode)
  }
  return statuses
}

/** A test server with many agents, all of which have been the manager of maria. */
async function buildWithAgents (t: Test) {
  const { update, post, database, takeQueries } = await buildRecorded(t)
  const addUser = database.prepare('INSERT INTO omnichannel_user (id) VALUES (?)')
  const addRole = database.prepare("INSERT INTO omnichannel_user_role VALUES (?, 'livechat-agent')")
  database.transaction(() => {
    for (let number = 1; number <= manyCalls; number++) {
      addUser.run(`agent${number}`)
      addRole.run(`agent${number}`)
    }
  })()
  await update(body)
  const setManager = async (agent: number) => await update({ contactId: 'maria', contactManager: `agent${agent}` })
  t.strictSame(await callInTens(setManager), new Set([200]))
  takeQueries()
  return { post, takeQueries, setManager }
}

t.test('more agents than the cache holds: those that were used last are cached', async (t) => {
  const { takeQueries, setManager } = await buildWithAgents(t)
  await setManager(manyCalls)
  t.equal(takeQueries().length, 0)
  await setManager(1)
  t.equal(takeQueries().length, 1, 'the agents used first are no longer cached')
})

t.test('many unknown callers: they do not push agents out of the cache', async (t) => {
  const { post, takeQueries, setManager } = await buildWithAgents(t)
  await setManager(1)
  t.strictSame(await callInTens(async (number) => await post('{}', { 'x-auth-token': `stranger ${number}` })), new Set([401]))
  takeQueries()
  t.equal((await setManager(1)).statusCode, 200)
  t.equal(takeQueries().length, 0)
})

/** While an iterator over one of these is open, its row can be read on the handle. Later the row is rolled back. */
const insertsThatGrantAccess: Record<string, string> = {
  'a role': "INSERT INTO omnichannel_user_role VALUES ('nick', 'livechat-agent') RETURNING role",
  'a permission': "INSERT INTO omnichannel_role_permission VALUES ('guest', 'update-livechat-contact') RETURNING role"
}
for (const journalMode of ['WAL', 'DELETE']) {
  for (const [name, sql] of Object.entries(insertsThatGrantAccess)) {
    t.test(`${name} inserted by an open RETURNING iterator, which is rolled back at its end, ${journalMode}: 403 each time`, async (t) => {
      const { update, database, db } = await buildRecorded(t)
      database.pragma(`journal_mode = ${journalMode}`)
      database.pragma('foreign_keys = ON')
      // The triggers insert a row without its parent, so the COMMIT of the iterator will fail.
      database.exec(`INSERT INTO omnichannel_user_role VALUES ('nick', 'guest');
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER orphan AFTER INSERT ON omnichannel_user_role BEGIN INSERT INTO child VALUES (1); END;
        CREATE TRIGGER another AFTER INSERT ON omnichannel_role_permission BEGIN INSERT INTO child VALUES (1); END`)
      t.equal((await update(body)).statusCode, 200)
      const before = await allRows(db)
      // The iterator has a transaction of its own, which `inTransaction` does not show.
      const iterator = database.prepare(sql).iterate()
      iterator.next()
      // The unknown key of the body ends the request right after the first look-up of the caller.
      await update({ contactId: 'maria', unknown: 1 }, as('nick'))
      try {
        iterator.return!()
      } catch {}
      t.equal(database.prepare('SELECT count(*) FROM child').pluck().get(), 0, 'the insert is rolled back')
      for (let time = 0; time < 2; time++) {
        const reply = await update({ contactId: 'maria', name: 'Mallory' }, as('nick'))
        t.strictSame([reply.statusCode, reply.json()], forbidden)
      }
      t.strictSame(await allRows(db), before)
    })
  }
}
