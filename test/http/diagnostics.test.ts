// The diagnostics channels: what is published about an update and a COMMIT, without personal data.

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import type { Test } from 'tap'
import { UpdateRefusedError, type CommitMessage, type UpdateMessage } from '../../src/index.js'
import { as, build, holdMaria, path, type World } from '../helpers/build.js'
import t, { dialectOf, engineOf, postgres, sqlite } from '../helpers/engines.js'
import { knownCaller, nameOfMaria, until } from '../helpers/waiting.js'
import { openProxy, type Injection } from '../store/explorer/proxy.js'

const updates = tracingChannel<unknown, UpdateMessage>('fastify-omnichannel-contacts:update')
const eventName = (event: string): string => `tracing:fastify-omnichannel-contacts:update:${event}`
const commitName = 'fastify-omnichannel-contacts:commit'

interface Heard {
  events: Array<[event: string, message: UpdateMessage]>
  commits: CommitMessage[]
  /** The last update, as it was at its end, without times. */
  last: () => Partial<UpdateMessage>
}

function hear (t: Test): Heard {
  const heard: Pick<Heard, 'events' | 'commits'> = { events: [], commits: [] }
  const note = (event: string) => (message: UpdateMessage) => { heard.events.push([event, { ...message }]) }
  const subscribers = {
    start: note('start'), end: note('end'), asyncStart: note('asyncStart'), asyncEnd: note('asyncEnd'), error: note('error')
  }
  const onCommit = (message: unknown): void => { heard.commits.push(message as CommitMessage) }
  updates.subscribe(subscribers)
  subscribe(commitName, onCommit)
  t.teardown(() => {
    updates.unsubscribe(subscribers)
    unsubscribe(commitName, onCommit)
  })
  return {
    ...heard,
    last: () => {
      const { waitedMs, ...rest } = heard.events.findLast(([event]) => event === 'asyncEnd')![1]
      t.ok(waitedMs >= 0 && Number.isFinite(waitedMs))
      return rest
    }
  }
}

const ended = { attempts: 1, batchSize: 0, unansweredPatterns: 0, outcome: undefined, code: undefined, obstacle: undefined }

t.test('an update: start, end, asyncStart and asyncEnd, all with one message, and a commit', async (t) => {
  const { update } = await build(t)
  const heard = hear(t)
  const messages = new Set<unknown>()
  const collect = (message: unknown): void => { messages.add(message) }
  subscribe(eventName('start'), collect)
  subscribe(eventName('asyncEnd'), collect)
  t.teardown(() => {
    unsubscribe(eventName('start'), collect)
    unsubscribe(eventName('asyncEnd'), collect)
  })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  t.strictSame(heard.events.map(([event]) => event), ['start', 'end', 'asyncStart', 'asyncEnd'])
  t.equal(messages.size, 1)
  const engine = dialectOf(t)
  t.strictSame(heard.events[0]![1], { engine, ...ended, waitedMs: 0, attempts: 0 }, 'at the start only the engine is known')
  t.strictSame(heard.last(), { engine, ...ended, batchSize: 1, outcome: 'committed' })
  t.match(heard.commits, [{ engine, updates: 1 }])
  t.strictSame(Object.keys(heard.commits[0]!), ['engine', 'durationMs', 'updates'])
  t.ok(heard.commits[0]!.durationMs > 0)
})

t.test('no subscriber, or one on a single channel: the same answers', async (t) => {
  const { update } = await build(t)
  t.match((await update({ contactId: 'maria', name: 'A' })).json(), { contact: { name: 'A' } })
  for (const event of ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const) {
    const outcomes: unknown[] = []
    const note = (message: unknown): void => { outcomes.push((message as UpdateMessage).outcome) }
    subscribe(eventName(event), note)
    t.match((await update({ contactId: 'maria', name: event })).json(), { contact: { name: event } })
    unsubscribe(eventName(event), note)
    t.strictSame(outcomes, { start: [undefined], end: [undefined], asyncStart: ['committed'], asyncEnd: ['committed'], error: [] }[event])
  }
})

t.test('a store bound to the start channel, as tracers do: subscribers get it', async (t) => {
  const { update } = await build(t, {})
  const storage = new AsyncLocalStorage<{ engine: string }>()
  const seen: unknown[] = []
  const note = (): void => { seen.push(storage.getStore()) }
  updates.start.bindStore(storage, ({ engine }) => ({ engine }))
  subscribe(eventName('start'), note)
  t.teardown(() => {
    updates.start.unbindStore(storage)
    unsubscribe(eventName('start'), note)
  })
  await update({ contactId: 'maria', name: 'A' })
  t.strictSame(seen, [{ engine: dialectOf(t) }])
})

/** Makes an update end in each way that both engines have. */
const outcomes: Record<string, { run: (world: World) => Promise<unknown>, statuses: number[], last: Partial<UpdateMessage> }> = {
  'nothing to change': {
    run: async ({ update }) => await update({ contactId: 'maria' }), statuses: [200], last: { outcome: 'unchanged' }
  },
  'an idempotency key used twice': {
    run: async ({ update }) => {
      const headers = { ...as('ann'), 'idempotency-key': 'secret-key' }
      await update({ contactId: 'maria', name: 'A' }, headers)
      return await update({ contactId: 'maria', name: 'A' }, headers)
    },
    statuses: [200],
    last: { outcome: 'replayed' }
  },
  'an unknown contact': {
    run: async ({ update }) => await update({ contactId: 'secret-contact' }), statuses: [400], last: { outcome: 'refused', code: 'FOC_CONTACT_NOT_FOUND' }
  },
  'an error that names a label': {
    run: async ({ update }) => await update({ contactId: 'maria', customFields: { plan: 'secret-plan' } }),
    statuses: [400],
    last: { outcome: 'refused', code: 'FOC_INVALID_CUSTOM_FIELD' }
  },
  'an error that names a key': {
    run: async ({ update }) => await update({ contactId: 'maria', customFields: { plan: 'gold', 'secret-field': '1' } }),
    statuses: [400],
    last: { outcome: 'refused', code: 'FOC_CUSTOM_FIELD_NOT_ALLOWED' }
  },
  'a text of beforeCommit': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'refuse' }), statuses: [400], last: { outcome: 'refused', code: 'FOC_UPDATE_REFUSED' }
  },
  'an error of beforeCommit, with a code of its own': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'fail' }), statuses: [500], last: { outcome: 'failed', code: 'FOC_UPDATE_FAILED' }
  },
  'a refusal with a code of its own': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'disguise' }), statuses: [400], last: { outcome: 'refused', code: 'FOC_UPDATE_REFUSED' }
  },
  'an outdated entity tag': {
    run: async ({ update }) => await update({ contactId: 'maria', name: 'A' }, { ...as('ann'), 'if-match': '"99"' }),
    statuses: [412],
    last: { outcome: 'refused', code: 'FOC_CONTACT_VERSION_MISMATCH' }
  },
  'an invalid pattern': {
    run: async ({ update, db }) => {
      await db.exec("UPDATE omnichannel_custom_field SET regexp = '(' WHERE id = 'plan'")
      return await update({ contactId: 'maria', customFields: { plan: 'secret-plan' } })
    },
    statuses: [400],
    last: { outcome: 'refused', code: 'FOC_INVALID_CUSTOM_FIELD', unansweredPatterns: 1 }
  }
}

const isSecret = /secret|maria|ann|token|gold|plan|label/i

for (const [name, { run, statuses, last }] of Object.entries(outcomes)) {
  t.test(`${name}: ${last.outcome}${last.code === undefined ? '' : ` with ${last.code}`}, and no personal data`, async (t) => {
    const world = await build(t, {
      beforeCommit: ({ contact: { name } }) => {
        if (name === 'refuse') throw new UpdateRefusedError('secret-text')
        if (name === 'disguise') throw Object.assign(new UpdateRefusedError('secret-text'), { code: 'secret-code' })
        if (name === 'fail') throw Object.assign(new Error('secret-text'), { code: 'secret-code' })
      }
    })
    const heard = hear(t)
    t.match(await run(world), { statusCode: statuses[0] })
    t.strictSame(heard.last(), { engine: dialectOf(t), ...ended, ...last })
    t.strictSame(heard.events.filter(([event]) => event === 'error').length, last.outcome === 'failed' ? 1 : 0)
    t.strictSame(heard.commits.length, last.outcome === 'replayed' ? 1 : 0, 'a COMMIT that wrote nothing is not published')
    t.notMatch(JSON.stringify([heard.events, heard.commits]), isSecret)
  })
}

t.test('an error of the database: failed, with its code', async (t) => {
  const { update, db } = await build(t)
  await db.refuseUpdates('omnichannel_contact', 'secret-text')
  const heard = hear(t)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 500)
  t.match(heard.last(), {
    batchSize: 0, outcome: 'failed', code: { sqlite: 'SQLITE_CONSTRAINT_TRIGGER', 'node-sqlite': 'ERR_SQLITE_ERROR', postgres: 'P0001' }[engineOf(t)]
  })
  t.notMatch(JSON.stringify(heard.events), isSecret)
})

t.test('a deferred constraint that fails COMMIT: failed, and nothing was written', async (t) => {
  const { update, db } = await build(t)
  await db.exec('CREATE TABLE host (name TEXT REFERENCES omnichannel_contact (id) DEFERRABLE INITIALLY DEFERRED)')
  if (dialectOf(t) === 'sqlite') {
    await db.exec(`PRAGMA foreign_keys = ON;
      CREATE TRIGGER host AFTER UPDATE ON omnichannel_contact BEGIN INSERT INTO host VALUES (NEW.name); END`)
  } else {
    await db.exec(`CREATE FUNCTION host() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO host VALUES (NEW.name); RETURN NULL; END $$;
      CREATE TRIGGER host AFTER UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION host()`)
  }
  const heard = hear(t)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 500)
  t.match(heard.last(), { batchSize: 0, outcome: 'failed' })
  t.strictSame(heard.commits, [])
})

t.test('a locked database: busy, with the obstacle and the time waited', async (t) => {
  const { update, db } = await build(t, { ...knownCaller, lockTimeout: 200 })
  const heard = hear(t)
  await holdMaria(db)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 503)
  await db.exec('ROLLBACK')
  const isSqlite = dialectOf(t) === 'sqlite'
  t.match(heard.last(), {
    attempts: isSqlite ? 0 : /^[1-9]/, outcome: 'busy', code: 'FOC_DATABASE_BUSY', obstacle: isSqlite ? 'host-transaction' : 'other-transaction'
  })
  t.strictSame(heard.events.map(([event]) => event), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  if (isSqlite) t.ok(heard.events.at(-1)![1].waitedMs >= 200)
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
  const heard = hear(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  await t.rejects(fetch(app.listeningOrigin + path, {
    method: 'POST', headers: { 'content-type': 'application/json', ...as('ann') }, body: JSON.stringify({ contactId: 'maria', name: 'A' })
  }))
  await until(() => heard.events.at(-1)?.[0] === 'asyncEnd')
  t.match(heard.last(), { outcome: 'abandoned', code: 'FOC_REQUEST_GONE', attempts: 0 })
  t.equal(await nameOfMaria(db), 'Maria')
  t.strictSame(heard.events.filter(([event]) => event === 'error'), [])
})

sqlite.test('updates that arrive together: share a commit, and each message has the size of its batch', async (t) => {
  const { update } = await build(t)
  const heard = hear(t)
  await Promise.all(['a', 'b', 'c', 'd'].map(async (name) => await update({ contactId: name === 'd' ? 'unknown' : 'maria', name })))
  const written = heard.events.filter(([event, { outcome }]) => event === 'asyncEnd' && outcome === 'committed').map(([, message]) => message)
  t.equal(written.length, 3)
  t.equal(heard.commits.reduce((sum, { updates }) => sum + updates, 0), 3)
  t.ok(heard.commits.length < 3)
  for (const { batchSize } of written) t.ok(heard.commits.some(({ updates }) => updates === batchSize))
})

postgres.test('a serialization failure: committed at the second attempt', async (t) => {
  const { update, db } = await build(t)
  await db.exec(`CREATE SEQUENCE times;
    CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('times') = 1 THEN RAISE EXCEPTION 'secret' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER once BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION once()`)
  const heard = hear(t)
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 200)
  t.match(heard.last(), { attempts: 2, outcome: 'committed', batchSize: 1 })
  t.ok(heard.events.at(-1)![1].waitedMs > 0)
  t.equal(heard.commits.length, 1)
})

postgres.test('a lost answer to COMMIT: committed if the rows show it, in doubt if they cannot be read, and no commit is published', async (t) => {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  const { update } = await build(t, { pool: { host: proxy.host }, lockTimeout: 300 })
  const heard = hear(t)
  const lost: Injection = { at: /^COMMIT$/, fault: { do: 'cut-after' } }
  proxy.plan.begin([lost])
  t.equal((await update({ contactId: 'maria', name: 'A' })).statusCode, 200)
  t.match(heard.last(), { outcome: 'committed', batchSize: 1, attempts: 1 })
  proxy.plan.begin([lost, { at: /^connect$/, fault: { do: 'cut-before' }, times: 1000 }])
  t.equal((await update({ contactId: 'maria', name: 'B' })).statusCode, 500)
  t.match(heard.last(), { outcome: 'in-doubt', code: 'FOC_IN_DOUBT' })
  t.equal(heard.events.filter(([event]) => event === 'error').length, 1)
  t.strictSame(heard.commits, [])
})
