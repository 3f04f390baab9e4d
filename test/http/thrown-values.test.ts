// A function of the host throws any value: nothing is written, and the answer is one of the contract.

import { allRows, as, build, fill, type Setup } from '../helpers/test-server.js'
import t, { sqlite } from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { observe } from '../helpers/observed-server.js'
import { internalServerError } from '../helpers/refusals.js'

const thrownValues: Array<[situation: string, thrown: unknown]> = [
  ['null', null],
  ['undefined', undefined],
  ['false', false],
  ['0', 0],
  ['an empty text', ''],
  ['a text', 'no'],
  ['an object', {}],
  ['a frozen error', Object.freeze(new Error('no'))],
  ['a timed-out fetch, whose code is a number', new DOMException('too late', 'TimeoutError')],
  ['the 404 of an identity service', Object.assign(new Error('no'), { statusCode: 404 })],
  ['the 503 of an identity service', { statusCode: 503 }],
  ['an error whose code is null', Object.assign(new Error('no'), { code: null })]
]

/** Servers whose option calls `fail`. */
const failingOptions: Array<[option: string, (fail: () => never) => Setup]> = [
  ['authenticate', (fail) => ({ authenticate: fail })],
  ['authenticate, in a promise', (fail) => ({ authenticate: async () => fail() })],
  ['authenticate, beside an authorize of the host', (fail) => ({ authenticate: fail, authorize: () => true })],
  ['authorize', (fail) => ({ authorize: fail })],
  ['authorize, in a promise', (fail) => ({ authorize: async () => fail() })]
]

for (const [option, setupWith] of failingOptions) {
  t.test(`${option} throws any value: 500, and nothing is written`, async (t) => {
    for (const [situation, thrown] of thrownValues) {
      const { update, db } = await build(t, setupWith(() => { throw thrown }))
      const before = await allRows(db)
      const reply = await update({ contactId: 'maria', name: 'Mallory' })
      t.strictSame([reply.statusCode, reply.json()], [500, internalServerError], situation)
      t.equal(reply.headers['content-type'], 'application/json', situation)
      t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
    }
  })
}

t.test('a hook throws an error whose statusCode cannot be read: 500, and nothing is written', async (t) => {
  const unreadable: Error = Object.defineProperty(new Error('secret'), 'statusCode', { get: () => { throw unreadable } })
  let fails = false
  const { update, db } = await build(t, { host: (app) => { app.addHook('preHandler', async () => { if (fails) throw unreadable }) } })
  // The second caller is known.
  for (const caller of ['new', 'known']) {
    const before = await allRows(db)
    fails = true
    const reply = await update({ contactId: 'maria', name: 'Mallory' })
    t.strictSame([reply.statusCode, reply.json()], [500, internalServerError], caller)
    t.strictSame(await allRows(db), before)
    fails = false
    t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  }
})

/** What an SQL function or a `beforeCommit` of the host throws. Most of these look like errors of HTTP, of Fastify or of the plugin. */
const misleadingValues: Record<string, unknown> = {
  'an object with a statusCode': { statusCode: 404, message: 'secret' },
  'an error with a statusCode': Object.assign(new Error('secret'), { statusCode: 404 }),
  ...Object.fromEntries([400, 401, 403, 413, 429, 499, 503, 200, 302].map((statusCode) =>
    [`an error with the statusCode ${statusCode}`, Object.assign(new Error('secret'), { statusCode, status: statusCode })])),
  ...Object.fromEntries(['FOC_UNAUTHORIZED', 'FOC_INVALID_PARAMS', 'FOC_REQUEST_GONE', 'FOC_UPDATE_REFUSED', 'FST_ERR_CTP_BODY_TOO_LARGE'].map((code) =>
    [`an error with the code ${code}`, Object.assign(new Error('secret'), { code, statusCode: 400 })])),
  'an object without a prototype': Object.assign(Object.create(null) as object, { statusCode: 404 }),
  'a text': 'secret',
  null: null,
  undefined
}

interface CallSite {
  sql: string
  /** Whether the SQL must run before the plugin is registered. By default it needs the plugin's tables. */
  isBeforePlugin?: boolean
}

/** Where the SQL function `may_throw` of the host is called. It returns its argument, or throws. */
const callSites: Record<string, CallSite> = {
  'a view that the look-up of the caller reads': {
    sql: `CREATE TABLE account (id TEXT PRIMARY KEY, username TEXT, name TEXT, active INTEGER);
      CREATE VIEW omnichannel_user AS SELECT id, username, name, may_throw(active) AS active FROM account;
      CREATE TRIGGER add_user INSTEAD OF INSERT ON omnichannel_user
        BEGIN INSERT OR IGNORE INTO account VALUES (new.id, new.username, new.name, new.active); END`,
    isBeforePlugin: true
  },
  'a trigger of the contact': {
    sql: 'CREATE TRIGGER host BEFORE UPDATE ON omnichannel_contact BEGIN SELECT may_throw(1); END'
  },
  'a trigger of the inquiries, which are written last': {
    sql: 'CREATE TRIGGER host AFTER UPDATE ON omnichannel_inquiry BEGIN SELECT may_throw(1); END'
  },
  'a trigger of the stored answer': {
    sql: 'CREATE TRIGGER host BEFORE INSERT ON omnichannel_idempotency_key BEGIN SELECT may_throw(1); END'
  }
}
for (const [place, { sql, isBeforePlugin = false }] of Object.entries(callSites)) {
  for (const [situation, thrown] of Object.entries(misleadingValues)) {
    sqlite.test(`sqlite: an SQL function in ${place} throws ${situation}: 500, nothing written`, async (t) => {
      const database = openHandle(':memory:')
      let throws = false
      database.function('may_throw', { deterministic: false }, (value) => {
        if (throws) throw thrown
        return value
      })
      const { update, db, warningTexts, eventsAfterCommit, leftovers } = await observe(t, {
        database,
        host: () => { if (isBeforePlugin) database.exec(sql) },
        afterRegister: async (_app, { db }) => {
          await fill(db)
          if (!isBeforePlugin) await db.exec(sql)
        }
      })
      const before = await allRows(db)
      throws = true
      const reply = await update({ contactId: 'maria', name: 'Marie' }, { ...as('ann'), 'idempotency-key': 'k' })
      throws = false
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag, reply.headers['retry-after']], [500, internalServerError, undefined, undefined])
      t.strictSame(await allRows(db), before)
      t.equal(warningTexts().length, 1)
      t.strictSame([eventsAfterCommit, await leftovers()], [[], {}])
    })
  }
}

for (const [situation, thrown] of Object.entries(misleadingValues)) {
  t.test(`beforeCommit throws ${situation}: 500, nothing written`, async (t) => {
    const { update, db, warningTexts, eventsAfterCommit, leftovers, eventsBeforeCommit } = await observe(t, { beforeCommit: () => { throw thrown } })
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', name: 'Marie' }, { ...as('ann'), 'idempotency-key': 'k' })
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag, reply.headers['retry-after']], [500, internalServerError, undefined, undefined])
    t.strictSame(await allRows(db), before)
    t.strictSame([warningTexts().length, eventsBeforeCommit.length, eventsAfterCommit, await leftovers()], [1, 1, [], {}])
  })
}
