// The answers and the rows are the same with all settings of the host's pool, of its sessions, and of clients that the host has used.

import fc from 'fast-check'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { allRows, as, build, changes, fill, lockMaria, type TestServer } from '../../helpers/test-server.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe } from '../../helpers/observed-server.js'
import { backendThatWaits, type PoolSettings } from '../../helpers/postgres.js'
import { body } from '../../rules/generated-bodies.js'

/** Settings of sessions as the option `options` of a connection. */
const toOptions = (settings: Record<string, string>): string => Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`).join(' ')

const pools: Record<string, PoolSettings> = {
  'one client': { max: 1 },
  // With the class of pg, which has a pipeline mode.
  'no pipelining': { pipeline: false, Client: pg.Client },
  // With a class that cannot pipeline. See `pipeline` in test/helpers/postgres.ts.
  'clients that cannot pipeline': { pipeline: false },
  'one client, which cannot pipeline': { max: 1, pipeline: false },
  'hostile defaults': {
    // The host and its sessions parse and print values in another way.
    types: { getTypeParser: () => () => 'parsed by the host' },
    defaults: toOptions({
      default_transaction_isolation: 'serializable',
      statement_timeout: '200',
      lock_timeout: '100',
      timezone: 'Asia/Kolkata',
      datestyle: 'German',
      intervalstyle: 'iso_8601',
      bytea_output: 'escape',
      standard_conforming_strings: 'off',
      escape_string_warning: 'off',
      client_min_messages: 'error',
      extra_float_digits: '0'
    })
  }
}

/** Sends the bodies twice to a newly filled database, and returns the answers, the number of stored ones, and the changes of the rows. */
async function outcomeOf ({ db, update }: TestServer, bodies: unknown[], hasKey: boolean): Promise<unknown> {
  const tables = Object.keys(await allRows(db)).filter((table) => !/permission|migration/.test(table)).reverse()
  await db.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
  await fill(db)
  const before = await allRows(db)
  const answers = []
  for (const sent of [...bodies, ...bodies]) {
    // Bodies of the same length share a key, so some of them are refused.
    const key = hasKey ? { 'idempotency-key': JSON.stringify(sent).length.toString() } : {}
    const { statusCode, body, headers } = await update(sent, { ...as('ann'), ...key })
    answers.push([statusCode, body.replace(/"_updatedAt":"[^"]*"/, ''), headers.etag, headers['idempotency-replayed']])
  }
  const { omnichannel_idempotency_key: keys = [], ...written } = await allRows(db)
  return { answers, storedAnswers: keys.length, changes: changes(before, written) }
}

for (const [name, pool] of Object.entries(pools)) {
  t.test(`${name}: generated updates are answered and written as in a default session`, async (t) => {
    const [usual, other] = [await build(t), await build(t, { pool })]
    await fc.assert(fc.asyncProperty(fc.array(body, { minLength: 1, maxLength: 3 }), fc.boolean(), async (bodies, hasKey) => {
      t.strictSame(await outcomeOf(other, bodies, hasKey), await outcomeOf(usual, bodies, hasKey))
    }), { numRuns: 15 })
  })
}

for (const [name, pool] of Object.entries<PoolSettings>({
  'sessions of the host with short timeouts': pools['hostile defaults']!,
  'a pool of the host with a short query_timeout': { query_timeout: 100 },
  'a pool of the host with a short query_timeout, without pipelining': { query_timeout: 100, pipeline: false, Client: pg.Client }
})) {
  t.test(`${name}: an update still waits until lockTimeout, on one connection`, async (t) => {
    const { update, db } = await build(t, { pool })
    await db.exec("BEGIN; UPDATE omnichannel_contact SET name = 'Held' WHERE id = 'maria'")
    const updating = update({ contactId: 'maria', emails: ['x@y'] })
    const first = await backendThatWaits(db)
    // Longer than the timeouts of the host.
    await pause(300)
    await db.value('SELECT pg_stat_clear_snapshot()')
    const waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = current_schema()"
    t.strictSame(await db.column(waiting), [first])
    await db.exec('COMMIT')
    const reply = await updating
    t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, 'Held', '"2"'])
    t.equal(await db.value("SELECT address FROM omnichannel_contact_email WHERE contact_id = 'maria'"), 'x@y')
  })
}

for (const [setting, pool] of Object.entries<PoolSettings>({
  idle_in_transaction_session_timeout: { idle_in_transaction_session_timeout: 100 },
  transaction_timeout: { defaults: '-c transaction_timeout=100' }
})) {
  t.test(`beforeCommit takes longer than the ${setting} of the session: called once, 200`, async (t) => {
    const { update, eventsBeforeCommit, warningTexts } = await observe(t, { pool, beforeCommit: async () => { await pause(200) } })
    const reply = await update({ contactId: 'maria', name: 'Marie' })
    t.strictSame([reply.statusCode, reply.headers.etag, eventsBeforeCommit.length, warningTexts()], [200, '"2"', 1, []])
  })
}

t.test('an update: takes two round trips, and one more for the look-up of a caller who has not updated before', async (t) => {
  const { update } = await build(t, { pool: { max: 1 } })
  interface ClientInternals { _sentQueryQueue: unknown[], _activeQuery: unknown }
  const { query } = pg.Client.prototype as unknown as { query: (...args: unknown[]) => unknown }
  let roundTrips = 0
  t.intercept(pg.Client.prototype, 'query', {
    value (this: ClientInternals, ...args: unknown[]) {
      // A query that is sent while no other is pending begins a round trip.
      if (this._sentQueryQueue.length === 0 && this._activeQuery === null) roundTrips++
      return query.apply(this, args)
    }
  })
  const allFields = {
    contactId: 'maria', name: 'Marie', emails: ['a@b'], phones: ['1'], customFields: { plan: 'silver' }, contactManager: 'ann', wipeConflicts: true
  }
  for (const [key, expected] of [['first', 3], ['second', 2]] as const) {
    roundTrips = 0
    t.equal((await update(allFields, { ...as('ann'), 'idempotency-key': key })).statusCode, 200)
    t.equal(roundTrips, expected)
  }
})

t.test('a contact with 1500 visitors is renamed: in several parts, so that the event loop runs between them, and all or nothing', async (t) => {
  const { update, db, eventsAfterCommit } = await observe(t)
  await db.exec(`
    INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
      SELECT 'maria', number, '', 'new-' || number, 'api' FROM generate_series(3, 1500) AS number;
    INSERT INTO omnichannel_subscription (id, visitor_id) SELECT number, 'new-' || number FROM generate_series(3, 1500) AS number`)
  const countNamed = async (name: string) => await db.value<number>('SELECT count(*) FROM omnichannel_subscription WHERE name = $1', name)
  let longest = 0
  const { query } = pg.Client.prototype as unknown as { query: (...args: unknown[]) => unknown }
  t.intercept(pg.Client.prototype, 'query', {
    value (this: unknown, ...args: unknown[]) {
      const { queries = [] } = args[0] as { queries?: unknown[] }
      longest = Math.max(longest, queries.length)
      return query.apply(this, args)
    }
  })
  // The part with this visitor is neither the first nor the last.
  await db.refuseUpdates('omnichannel_subscription', 'no', "NEW.visitor_id = 'new-500'")
  const before = await allRows(db)
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 500)
  t.strictSame(await allRows(db), before)
  await db.allowUpdates('omnichannel_subscription')
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).headers.etag, '"2"')
  t.strictSame([await countNamed('Marie'), eventsAfterCommit.length, longest], [1500, 1, 1000])
})

/** What the host does to a client before it returns it to the pool, and whether the plugin then drops that client. */
const changedClients: Record<string, [sql: string, isDropped: boolean]> = {
  'another client_encoding': ["SET client_encoding TO 'LATIN1'", true],
  'another client_encoding with more characters': ["SET client_encoding TO 'WIN1252'", true],
  SQL_ASCII: ["SET client_encoding TO 'SQL_ASCII'", true],
  'the encoding UTF8 by another name': ["SET client_encoding TO 'unicode'", false],
  'an open transaction': ['BEGIN', true],
  'an aborted transaction': ['BEGIN; SELECT 1/0', true],
  'time-outs': ['SET statement_timeout = 1; SET lock_timeout = 1', false],
  'another time zone and other formats of times': ["SET timezone TO 'Asia/Kolkata'; SET datestyle TO 'German, DMY'; SET lc_time TO 'C'", false],
  'other formats of numbers and arrays': ["SET extra_float_digits = -15; SET array_nulls = off; SET bytea_output = 'escape'", false],
  'no escapes in strings': ['SET standard_conforming_strings = off; SET backslash_quote = on', false],
  'no notices': ["SET client_min_messages TO 'error'; SET log_min_messages TO 'panic'", false],
  'another isolation level': ["SET default_transaction_isolation = 'serializable'; SET default_transaction_deferrable = on", false],
  'no plans of indexes': ['SET enable_seqscan = off; SET enable_indexscan = off; SET plan_cache_mode = force_generic_plan', false],
  'NULLs in comparisons': ['SET transform_null_equals = on; SET quote_all_identifiers = on', false],
  'a prepared statement': ['PREPARE mine AS SELECT 1', false],
  'no prepared statements': ['DEALLOCATE ALL', true],
  'a session that was reset': ['DISCARD ALL', true],
  'another role': ['SET ROLE pg_read_all_data', true],
  'another user': ['SET SESSION AUTHORIZATION pg_read_all_data', true],
  'another search_path': ['SET search_path TO pg_catalog', true],
  "a search_path to other tables with the plugin's names": [`CREATE SCHEMA IF NOT EXISTS other; CREATE TABLE IF NOT EXISTS other.omnichannel_contact (LIKE omnichannel_contact INCLUDING ALL);
    SELECT set_config('search_path', 'other,' || current_schema(), false)`, true],
  "a temporary table with one of the plugin's names": ['CREATE TEMPORARY TABLE omnichannel_contact AS SELECT * FROM omnichannel_contact', true],
  "a temporary view with one of the plugin's names": ['CREATE TEMPORARY VIEW omnichannel_user AS SELECT * FROM omnichannel_user WHERE false', true],
  'a temporary table of another name': ['CREATE TEMPORARY TABLE mine (id text PRIMARY KEY)', false],
  'another synchronous_commit': ['SET synchronous_commit = local', true],
  'other row security': ['SET row_security = off', true],
  'no triggers': ['SET session_replication_role = replica', true],
  'read-only transactions': ['SET default_transaction_read_only = on', true],
  'an advisory lock of its own': ['SELECT pg_advisory_lock(7)', false],
  'an open cursor': ['DECLARE mine CURSOR WITH HOLD FOR SELECT 1', false]
}
for (const pipeline of [true, false]) {
  for (const [name, [sql, isDropped]] of Object.entries(changedClients)) {
    t.test(`the host returns a client to the pool with ${name}: 200, and every character is right${pipeline ? '' : ', without pipelining'}`, async (t) => {
      const clients: Array<pg.PoolClient & { processID: number }> = []
      const { update, db, eventsAfterCommit, warningTexts, leftovers } = await observe(t, {
        pool: { pipeline, max: 1 }, beforeCommit: (_event, client) => { clients.push(client) }
      })
      const sent = { contactId: 'maria', name: 'Größe ␀0 \0 🙂', emails: ['ä\\"{},@ü'], customFields: { plan: 'gold', note: 'Ж\n' } }
      t.equal((await update({ contactId: 'maria', name: 'Warm' })).statusCode, 200)
      // The host uses the only client of the pool.
      await clients[0]!.query(sql).catch(() => undefined)
      const reply = await update(sent, { ...as('ann'), 'idempotency-key': 'key' })
      const again = await update(sent, { ...as('ann'), 'idempotency-key': 'key' })
      const { contact } = reply.json()
      t.match([reply.statusCode, contact], [200, { name: sent.name, emails: [{ address: 'ä\\"{},@ü' }], customFields: { note: 'Ж' } }])
      t.match([contact.createdAt, contact.lastChat.ts], ['2026-01-01T00:00:00.000Z', '2026-01-02T03:04:05.678Z'])
      t.strictSame([again.body, again.headers['idempotency-replayed']], [reply.body, 'true'])
      t.strictSame(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), sent.name)
      t.equal(clients[0] !== clients[1], isDropped, 'another client')
      t.strictSame([eventsAfterCommit.length, warningTexts(), await leftovers()], [2, [], {}])
    })
  }
}

/** Transactions that do not block an update. */
const unrelatedTransactions: Record<string, string> = {
  'inserts a row that references the contact': "INSERT INTO note VALUES ('maria')",
  'inserts an e-mail of the contact': "INSERT INTO omnichannel_contact_email VALUES ('maria', 7, 'host@example.com')",
  'has locked the contact against a change of its key': "SELECT 1 FROM omnichannel_contact WHERE id = 'maria' FOR KEY SHARE",
  'reads the contact': 'SELECT * FROM omnichannel_contact',
  'updates another contact': "UPDATE omnichannel_contact SET name = 'x' WHERE id = 'blank'",
  'stores an answer for another key': `INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer) VALUES ('ann', 'other', '', 'maria', 1, '')`
}
for (const [name, sql] of Object.entries(unrelatedTransactions)) {
  t.test(`a transaction of the host that ${name}: the update does not wait for it`, async (t) => {
    const { update, db, eventsBeforeCommit, warningTexts } = await observe(t, {
      lockTimeout: 2000, host: async (_app, { db }) => { await db.exec('CREATE TABLE note (contact text)') },
      afterRegister: async (_app, { db }) => { await db.exec('ALTER TABLE note ADD FOREIGN KEY (contact) REFERENCES omnichannel_contact') }
    })
    await db.exec(`BEGIN; ${sql}`)
    const reply = await update({ contactId: 'maria', name: 'Marie', phones: [] }, { ...as('ann'), 'idempotency-key': 'key' })
    await db.exec('COMMIT')
    t.strictSame([reply.statusCode, reply.headers.etag, eventsBeforeCommit.length, warningTexts()], [200, '"2"', 1, []])
  })
}

// Times that JavaScript's Date cannot hold, or prints in another way, and others.
for (const [time, isValid] of Object.entries({
  '9999-12-31 23:59:59.999Z': true, '10000-01-01': true, '12026-11-29 00:00Z': true, '99999-01-01': true, '294276-12-31': true, infinity: true,
  '-infinity': false, '0044-03-15 BC': false, '0001-01-01': false, '1970-01-01': false, '2026-01-01': false
})) {
  t.test(`a token that expires at ${time}: ${isValid ? 'valid' : 'expired'}`, async (t) => {
    const { update, db } = await build(t)
    await db.exec(`UPDATE omnichannel_auth_token SET expires_at = '${time}' WHERE user_id = 'ann'`)
    const reply = await update({ contactId: 'maria', name: 'Marie' })
    t.equal(reply.statusCode, isValid ? 200 : 401)
    t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), isValid ? 'Marie' : 'Maria')
  })
}

t.test('the host has stored U+0000 in JSON as ␀0, as the plugin does in text: read as U+0000', async (t) => {
  const { update, db } = await build(t)
  await db.exec(`UPDATE omnichannel_contact SET custom_fields = '{"plan":"gold","legacy":"a␀0"}' WHERE id = 'maria'`)
  for (const body of [{ contactId: 'maria' }, { contactId: 'maria', customFields: { plan: 'silver' } }, { contactId: 'maria' }]) {
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json().contact?.customFields?.legacy], [200, 'a\0'])
  }
})

t.test('times of a contact in the year 10000: answered with all their digits', async (t) => {
  const { update, db } = await build(t)
  await db.exec(`UPDATE omnichannel_contact SET created_at = '10000-01-02 03:04:05.678Z', last_chat_at = '12026-11-29 00:00Z' WHERE id = 'maria';
    UPDATE omnichannel_contact_channel SET verified_at = '10000-01-01 00:00Z', last_chat_id = 'room-1', last_chat_at = '10000-01-01 00:00Z' WHERE position = 1`)
  const { contact } = (await update({ contactId: 'maria', name: 'Marie' })).json()
  t.match(contact, {
    createdAt: '10000-01-02T03:04:05.678Z', lastChat: { ts: '12026-11-29T00:00:00.000Z' },
    channels: [{}, { verifiedAt: '10000-01-01T00:00:00.000Z', lastChat: { ts: '10000-01-01T00:00:00.000Z' } }]
  })
})

t.test('times of the host are timestamps without a zone, and sessions have a zone of their own: read as UTC', async (t) => {
  const { update, db } = await build(t, { pool: { defaults: '-c TimeZone=Asia/Kathmandu' } })
  for (const column of ['contact ALTER created_at', 'contact ALTER updated_at', 'auth_token ALTER expires_at']) {
    await db.exec(`ALTER TABLE omnichannel_${column} TYPE timestamp`)
  }
  const updated = (await update({ contactId: 'maria', name: 'Marie' })).json().contact
  t.equal(updated.createdAt, '2026-01-01T00:00:00.000Z')
  t.strictSame((await update({ contactId: 'maria' })).json().contact, updated)
  t.equal(await db.value(`SELECT to_char(updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM omnichannel_contact WHERE id = 'maria'`), updated._updatedAt)
  for (const [seconds, status] of [[-60, 401], [60, 200]] as const) {
    await db.exec('UPDATE omnichannel_auth_token SET expires_at = $1', new Date(Date.now() + seconds * 1000).toISOString())
    t.equal((await update({ contactId: 'maria', name: `Maria ${seconds}` })).statusCode, status)
  }
  t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Maria 60')
})

t.test('a client after an update: its methods are as the host has left them', async (t) => {
  const { update, db, database } = await build(t, { pool: { max: 1 }, beforeCommit: async (_event, client: pg.PoolClient) => { await client.query('SELECT 1') } })
  const pool = database as unknown as pg.Pool
  const ownEnd = async (): Promise<void> => undefined
  for (const setOwnEnd of [false, true]) {
    const before = await pool.connect()
    if (setOwnEnd) Object.assign(before, { end: ownEnd })
    before.release()
    t.equal((await update({ contactId: 'maria', name: `Maria ${setOwnEnd}` })).statusCode, 200)
    const after = await pool.connect() as pg.PoolClient & { end: unknown }
    after.release()
    t.equal(after, before)
    t.strictSame([Object.hasOwn(after, 'end'), after.end === ownEnd], [setOwnEnd, setOwnEnd])
    t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), `Maria ${setOwnEnd}`)
    Reflect.deleteProperty(after, 'end')
  }
})

/** Reports no open transaction, as a client does between an error of the server and the ReadyForQuery after it. */
class ClientWithOldStatus extends pg.Client {
  override getTransactionStatus (): 'I' {
    return 'I'
  }
}

for (const pipeline of [true, false]) {
  t.test(`a client is returned to the pool before it knows that its transaction is aborted: another is used${pipeline ? '' : ', without pipelining'}`, async (t) => {
    let first: pg.PoolClient | undefined
    const { update, db } = await build(t, {
      pool: { max: 1, pipeline, Client: ClientWithOldStatus }, beforeCommit: (_event, client: pg.PoolClient) => { first ??= client }
    })
    t.equal((await update({ contactId: 'maria', name: 'Warm' })).headers.etag, '"2"')
    await first!.query('BEGIN; SELECT 1/0').catch(() => undefined)
    t.equal((await update({ contactId: 'maria', name: 'Marie' })).headers.etag, '"3"')
    t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Marie')
  })
}

let isNetworkSlow = false

/** Gets ReadyForQuery 600 ms late while the network is slow. */
class SlowClient extends pg.Client {
  _handleReadyForQuery (message: unknown): void {
    const { _handleReadyForQuery: handle } = pg.Client.prototype as unknown as { _handleReadyForQuery: (message: unknown) => void }
    if (isNetworkSlow) setTimeout(() => { handle.call(this, message) }, 600)
    else handle.call(this, message)
  }
}

t.test('an update ends before its client knows that the transaction has failed: the host gets another client', async (t) => {
  const { update, db, database } = await build(t, { lockTimeout: 200, pool: { max: 1, pipeline: false, Client: SlowClient } })
  await update({ contactId: 'maria', name: 'Warm' })
  await lockMaria(db)
  const updating = update({ contactId: 'maria', name: 'Marie' })
  // The look-up of the caller has ended by now. It must not be late.
  await backendThatWaits(db)
  isNetworkSlow = true
  t.equal((await updating).statusCode, 503)
  isNetworkSlow = false
  t.strictSame((await (database as unknown as pg.Pool).query('SELECT 1 AS one')).rows, [{ one: 1 }])
})
