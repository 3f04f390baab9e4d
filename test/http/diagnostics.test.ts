// The diagnostics channels: what is published about an update and a COMMIT, without personal data.

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import type { Test } from 'tap'
import { UpdateRefusedError, type CommitMessage, type UpdateMessage } from '../../src/index.js'
import { as, build, lockMaria, path, type TestServer } from '../helpers/test-server.js'
import t, { dialectOf, engineOf, postgres, sqlite } from '../helpers/engines.js'
import { hostUsers, nameOfMaria, until } from '../helpers/waiting.js'
import { openProxy, type Injection } from '../store/explorer/proxy.js'

const updates = tracingChannel<unknown, UpdateMessage>('fastify-omnichannel-contacts:update')
const channelOf = (event: string): string => `tracing:fastify-omnichannel-contacts:update:${event}`
const commitChannel = 'fastify-omnichannel-contacts:commit'

interface Published {
  /** What was published about updates, with a copy of the message as it was then. */
  events: Array<[event: string, message: UpdateMessage]>
  commits: CommitMessage[]
  /** The last message of `asyncEnd`, without the time. */
  lastMessage: () => Partial<UpdateMessage>
}

/** Subscribes to a channel until the test ends. */
function listenTo (t: Test, channel: string, onMessage: (message: unknown) => void): void {
  subscribe(channel, onMessage)
  t.teardown(() => { unsubscribe(channel, onMessage) })
}

/** Collects what is published from now on. */
function collect (t: Test): Published {
  const events: Published['events'] = []
  const commits: CommitMessage[] = []
  for (const event of ['start', 'end', 'asyncStart', 'asyncEnd', 'error']) {
    listenTo(t, channelOf(event), (message) => { events.push([event, { ...message as UpdateMessage }]) })
  }
  listenTo(t, commitChannel, (message) => { commits.push(message as CommitMessage) })
  return {
    events,
    commits,
    lastMessage: () => {
      const { waitedMs, ...rest } = events.findLast(([event]) => event === 'asyncEnd')![1]
      t.ok(waitedMs >= 0 && Number.isFinite(waitedMs))
      return rest
    }
  }
}

/** The fields of a message about an update that needed one attempt, without those that its outcome decides. */
const oneAttempt = { attempts: 1, batchSize: 0, unansweredPatterns: 0, outcome: undefined, code: undefined, obstacle: undefined }

t.test('an update: start, end, asyncStart and asyncEnd are published with one message, which is filled in', async (t) => {
  const { update } = await build(t)
  const { events, lastMessage } = collect(t)
  const messages = new Set<unknown>()
  for (const event of ['start', 'asyncEnd']) listenTo(t, channelOf(event), (message) => { messages.add(message) })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  t.strictSame(events.map(([event]) => event), ['start', 'end', 'asyncStart', 'asyncEnd'])
  t.equal(messages.size, 1)
  const engine = dialectOf(t)
  t.strictSame(events[0]![1], { engine, ...oneAttempt, waitedMs: 0, attempts: 0 }, 'at the start only the engine is known')
  t.strictSame(lastMessage(), { engine, ...oneAttempt, batchSize: 1, outcome: 'committed' })
})

t.test('an update: its COMMIT is published with engine, duration and number of updates', async (t) => {
  const { update } = await build(t)
  const { commits } = collect(t)
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  t.match(commits, [{ engine: dialectOf(t), updates: 1 }])
  t.strictSame(Object.keys(commits[0]!), ['engine', 'durationMs', 'updates'])
  t.ok(commits[0]!.durationMs > 0)
})

t.test('no subscriber, or one on a single channel: the same answers', async (t) => {
  const { update } = await build(t)
  t.match((await update({ contactId: 'maria', name: 'A' })).json(), { contact: { name: 'A' } })
  const outcomesByEvent = { start: [undefined], end: [undefined], asyncStart: ['committed'], asyncEnd: ['committed'], error: [] }
  for (const [event, expected] of Object.entries(outcomesByEvent)) {
    const outcomes: unknown[] = []
    const onMessage = (message: unknown): void => { outcomes.push((message as UpdateMessage).outcome) }
    subscribe(channelOf(event), onMessage)
    t.match((await update({ contactId: 'maria', name: event })).json(), { contact: { name: event } })
    unsubscribe(channelOf(event), onMessage)
    t.strictSame(outcomes, expected)
  }
})

t.test('an AsyncLocalStorage bound to the start channel, as tracers do: subscribers find its store', async (t) => {
  const { update } = await build(t, {})
  const storage = new AsyncLocalStorage<{ engine: string }>()
  const stores: unknown[] = []
  updates.start.bindStore(storage, ({ engine }) => ({ engine }))
  t.teardown(() => { updates.start.unbindStore(storage) })
  listenTo(t, channelOf('start'), () => { stores.push(storage.getStore()) })
  await update({ contactId: 'maria', name: 'A' })
  t.strictSame(stores, [{ engine: dialectOf(t) }])
})

/** A request, its status, and the fields of the last message that differ from `oneAttempt`. */
interface Outcome {
  run: (testServer: TestServer) => Promise<unknown>
  status: number
  message: Partial<UpdateMessage>
}

/** The ways in which an update can end on each engine. Secrets must not be in a message. */
const outcomes: Record<string, Outcome> = {
  'nothing to change': {
    run: async ({ update }) => await update({ contactId: 'maria' }), status: 200, message: { outcome: 'unchanged' }
  },
  'an idempotency key used twice': {
    run: async ({ update }) => {
      const headers = { ...as('ann'), 'idempotency-key': 'secret-key' }
      await update({ contactId: 'maria', name: 'A' }, headers)
      return await update({ contactId: 'maria', name: 'A' }, headers)
    },
    status: 200,
    message: { outcome: 'replayed' }
  },
  'an unknown contact': {
    run: async ({ update }) => await update({ contactId: 'secret-contact' }), status: 400, message: { outcome: 'refused', code: 'FOC_CONTACT_NOT_FOUND' }
  },
  'an error that names a label': {
    run: async ({ update }) => await update({ contactId: 'maria', customFields: { plan: 'secret-plan' } }),
    status: 400,
    message: { outcome: 'refused', code: 'FOC_INVALID_CUSTOM_FIELD' }
  },
  'an error that names a key': {
    run: async ({ update }) => await update({ contactId: 'maria', customFields: { plan: 'gold', 'secret-field': '1' } }),
    status: 400,
    message: { outcome: 'refused', code: 'FOC_CUSTOM_FIELD_NOT_ALLOWED' }
  },
  'a refusal by beforeCommit': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'refuse' }), status: 400, message: { outcome: 'refused', code: 'FOC_UPDATE_REFUSED' }
  },
  'an error of beforeCommit, with a code of its own': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'fail' }), status: 500, message: { outcome: 'failed', code: 'FOC_UPDATE_FAILED' }
  },
  'a refusal by beforeCommit, with a code of its own': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'disguise' }), status: 400, message: { outcome: 'refused', code: 'FOC_UPDATE_REFUSED' }
  },
  'an outdated entity tag': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'A' }, { ...as('ann'), 'if-match': '"99"' }),
    status: 412,
    message: { outcome: 'refused', code: 'FOC_CONTACT_VERSION_MISMATCH' }
  },
  'an invalid pattern': {
    run: async ({ update, db }) => {
      await db.exec("UPDATE omnichannel_custom_field SET regexp = '(' WHERE id = 'plan'")
      return await update({ contactId: 'maria', customFields: { plan: 'secret-plan' } })
    },
    status: 400,
    message: { outcome: 'refused', code: 'FOC_INVALID_CUSTOM_FIELD', unansweredPatterns: 1 }
  }
}

/** Parts of what the requests and the database hold. */
const personalData = /secret|maria|ann|token|gold|plan|label/i

for (const [name, { run, status, message }] of Object.entries(outcomes)) {
  t.test(`${name}: ${message.outcome}${message.code === undefined ? '' : ` with ${message.code}`}, and no personal data`, async (t) => {
    const testServer = await build(t, {
      beforeCommit: ({ contact: { name } }) => {
        if (name === 'refuse') throw new UpdateRefusedError('secret-text')
        if (name === 'disguise') throw Object.assign(new UpdateRefusedError('secret-text'), { code: 'secret-code' })
        if (name === 'fail') throw Object.assign(new Error('secret-text'), { code: 'secret-code' })
      }
    })
    const { events, commits, lastMessage } = collect(t)
    t.match(await run(testServer), { statusCode: status })
    t.strictSame(lastMessage(), { engine: dialectOf(t), ...oneAttempt, ...message })
    t.equal(events.filter(([event]) => event === 'error').length, message.outcome === 'failed' ? 1 : 0)
    // Only before the replay another update has written.
    t.equal(commits.length, message.outcome === 'replayed' ? 1 : 0, 'a COMMIT that wrote nothing is not published')
    t.notMatch(JSON.stringify([events, commits]), personalData)
  })
}

t.test('an error of the database: failed, with its code', async (t) => {
  const { update, db } = await build(t)
  await db.refuseUpdates('omnichannel_contact', 'secret-text')
  const { events, lastMessage } = collect(t)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 500)
  const code = { sqlite: 'SQLITE_CONSTRAINT_TRIGGER', 'node-sqlite': 'ERR_SQLITE_ERROR', postgres: 'P0001' }[engineOf(t)]
  t.match(lastMessage(), { batchSize: 0, outcome: 'failed', code })
  t.notMatch(JSON.stringify(events), personalData)
})

t.test('a deferred constraint that fails COMMIT: failed, and nothing was written', async (t) => {
  const { update, db } = await build(t)
  // A trigger writes the new name into a foreign key, which is checked at COMMIT. No contact has this id.
  await db.exec('CREATE TABLE journal (contact_id TEXT REFERENCES omnichannel_contact (id) DEFERRABLE INITIALLY DEFERRED)')
  if (dialectOf(t) === 'sqlite') {
    await db.exec(`PRAGMA foreign_keys = ON;
      CREATE TRIGGER write_journal AFTER UPDATE ON omnichannel_contact BEGIN INSERT INTO journal VALUES (NEW.name); END`)
  } else {
    await db.exec(`
      CREATE FUNCTION write_journal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO journal VALUES (NEW.name); RETURN NULL; END $$;
      CREATE TRIGGER write_journal AFTER UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION write_journal()`)
  }
  const { commits, lastMessage } = collect(t)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 500)
  t.match(lastMessage(), { batchSize: 0, outcome: 'failed' })
  t.strictSame(commits, [])
})

t.test('a locked database: busy, with the obstacle and the time waited', async (t) => {
  const { update, db } = await build(t, { ...hostUsers, lockTimeout: 200 })
  const { events, lastMessage } = collect(t)
  await lockMaria(db)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 503)
  await db.exec('ROLLBACK')
  const isSqlite = dialectOf(t) === 'sqlite'
  const expected = isSqlite ? { attempts: 0, obstacle: 'host-transaction' } : { attempts: /^[1-9]/, obstacle: 'other-transaction' }
  t.match(lastMessage(), { outcome: 'busy', code: 'FOC_DATABASE_BUSY', ...expected })
  t.strictSame(events.map(([event]) => event), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  if (isSqlite) t.ok(events.at(-1)![1].waitedMs >= 200)
})

t.test('a client that disconnects before COMMIT: abandoned', async (t) => {
  const { app, db } = await build(t, {
    host: (app) => {
      app.addHook('preHandler', (request, _reply, done) => {
        request.raw.socket.destroy()
        done()
      })
    }
  })
  const { events, lastMessage } = collect(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  await t.rejects(fetch(app.listeningOrigin + path, {
    method: 'POST', headers: { 'content-type': 'application/json', ...as('ann') }, body: JSON.stringify({ contactId: 'maria', name: 'A' })
  }))
  await until(() => events.at(-1)?.[0] === 'asyncEnd')
  t.match(lastMessage(), { outcome: 'abandoned', code: 'FOC_REQUEST_GONE', attempts: 0 })
  t.equal(await nameOfMaria(db), 'Maria')
  t.strictSame(events.filter(([event]) => event === 'error'), [])
})

sqlite.test('updates that arrive together: share a commit, and each message has the size of its batch', async (t) => {
  const { update } = await build(t)
  const { events, commits } = collect(t)
  await Promise.all([
    update({ contactId: 'maria', name: 'a' }),
    update({ contactId: 'maria', name: 'b' }),
    update({ contactId: 'maria', name: 'c' }),
    update({ contactId: 'unknown', name: 'd' })
  ])
  const committed = events.filter(([event, { outcome }]) => event === 'asyncEnd' && outcome === 'committed').map(([, message]) => message)
  t.equal(committed.length, 3)
  t.equal(commits.reduce((sum, { updates }) => sum + updates, 0), 3)
  t.ok(commits.length < 3)
  for (const { batchSize } of committed) t.ok(commits.some(({ updates }) => updates === batchSize))
})

postgres.test('a serialization failure: committed at the second attempt', async (t) => {
  const { update, db } = await build(t)
  // The first update of a contact fails, the next succeeds.
  await db.exec(`CREATE SEQUENCE attempt;
    CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('attempt') = 1 THEN RAISE EXCEPTION 'secret' USING ERRCODE = 'serialization_failure'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER fail_once BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION fail_once()`)
  const { events, commits, lastMessage } = collect(t)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 200)
  t.match(lastMessage(), { attempts: 2, outcome: 'committed', batchSize: 1 })
  t.ok(events.at(-1)![1].waitedMs > 0)
  t.equal(commits.length, 1)
})

const lostAnswer: Injection = { at: /^COMMIT$/, fault: { do: 'cut-after' } }
const noMoreConnections: Injection = { at: /^connect$/, fault: { do: 'cut-before' }, times: 1000 }

postgres.test('a lost answer to COMMIT, and the row can be read again: committed, and no commit is published', async (t) => {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  const { update } = await build(t, { pool: { host: proxy.host } })
  const { commits, lastMessage } = collect(t)
  proxy.plan.begin([lostAnswer])
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 200)
  t.match(lastMessage(), { outcome: 'committed', batchSize: 1, attempts: 1 })
  t.strictSame(commits, [])
})

postgres.test('a lost answer to COMMIT, and the row cannot be read again: in doubt, and no commit is published', async (t) => {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  const { update } = await build(t, { pool: { host: proxy.host }, lockTimeout: 300 })
  const { events, commits, lastMessage } = collect(t)
  proxy.plan.begin([lostAnswer, noMoreConnections])
  t.equal((await update({ contactId: 'maria', name: 'B' })).statusCode, 500)
  t.match(lastMessage(), { outcome: 'in-doubt', code: 'FOC_IN_DOUBT' })
  t.equal(events.filter(([event]) => event === 'error').length, 1)
  t.strictSame(commits, [])
})
