// Generated sequences of requests with tags and keys. Status, headers, body and all rows are compared with reference-headers.ts. In
// between, the server restarts, time passes, and the host edits its rows. RUNS=5000 runs more of them. A failure prints its seed and the
// smallest sequence that fails.

import fc from 'fast-check'
import fastify from 'fastify'
import assert from 'node:assert/strict'
import { mock } from 'node:test'
import pg from 'pg'
import omnichannelContacts from '../../src/index.js'
import { allRows, as, fill, path } from '../helpers/build.js'
import t, { engineOf } from '../helpers/engines.js'
import { openHandle } from '../helpers/handle.js'
import { DatabaseSync } from '../helpers/node-sqlite.js'
import { openSchema } from '../helpers/postgres.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { body, valid } from './generated-bodies.js'
import { predictWithHeaders } from './reference-headers.js'
import { read, sorted, type Table } from './reference-rows.js'

const allRuns = Number(process.env.RUNS ?? 150)
const window = 60_000

const tags: Record<string, (version: number) => string> = {
  current: (version) => `"${version}"`,
  older: (version) => `"${version - 1}"`,
  newer: (version) => `"${version + 1}"`,
  weak: (version) => `W/"${version}"`,
  list: (version) => `"${version - 1}", "${version}"`,
  'list of others': (version) => `"${version + 2}",W/"${version}"`,
  any: () => '*',
  broken: (version) => String(version)
}
const edits: Record<string, string> = {
  'the contact is deleted': "DELETE FROM omnichannel_contact WHERE id = 'maria'",
  'the contact is made anew': "INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria') ON CONFLICT DO NOTHING",
  'the contact is disabled': "UPDATE omnichannel_contact SET enabled = FALSE WHERE id = 'maria'",
  'the contact is enabled': "UPDATE omnichannel_contact SET enabled = TRUE WHERE id = 'maria'",
  'bob loses the permission': "DELETE FROM omnichannel_user_role WHERE user_id = 'bob'",
  'bob gets the permission': "INSERT INTO omnichannel_user_role VALUES ('bob', 'livechat-agent') ON CONFLICT DO NOTHING"
}

const plain = fc.record({
  contactId: fc.constantFrom('maria', 'maria', 'maria', 'blank'),
  name: fc.constantFrom('Maria', 'Marie', 'Mia', 'Mary', ''),
  phones: fc.constantFrom(['1'], [1], ['1', '2'], null),
  customFields: fc.constantFrom({ plan: 'gold', note: 'x' }, { plan: 'silver' })
}, { requiredKeys: ['contactId'] })
const update = fc.record({
  user: fc.constantFrom('ann', 'bob'),
  body: fc.oneof({ weight: 8, arbitrary: plain }, { weight: 1, arbitrary: valid }, { weight: 1, arbitrary: body }),
  tag: fc.option(fc.constantFrom('current', ...Object.keys(tags)), { nil: undefined, freq: 2 }),
  key: fc.option(fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'e', '"a"', '"b"') }, fc.constantFrom('a b', '')), { nil: undefined, freq: 3 })
})
const retries = ['as it was', 'in another form', 'by the other user', 'with another body', 'with another tag'] as const
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ update }) },
  { weight: 5, arbitrary: fc.record({ retryOf: fc.nat(3), how: fc.constantFrom(retries[0], retries[0], ...retries) }) },
  { weight: 2, arbitrary: fc.constant({ crash: true } as const) },
  { weight: 1, arbitrary: fc.record({ edit: fc.constantFrom(...Object.keys(edits)) }) },
  { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(20_000, window - 1, window) }) }
)

interface Sent {
  user: string
  body: unknown
  ifMatch: string | undefined
  key: string | undefined
  /** How often the server has crashed before this request. */
  crashes: number
}

const unquoted = (key: string): string => key.replace(/^"(.*)"$/, '$1')

function retry (sent: Sent, how: typeof retries[number]): Sent {
  const fields = sent.body as Record<string, unknown>
  switch (how) {
    case 'as it was': return sent
    case 'in another form': return { ...sent, body: Object.fromEntries(Object.entries(fields).reverse()), key: `"${unquoted(sent.key ?? '')}"` }
    case 'by the other user': return { ...sent, user: sent.user === 'ann' ? 'bob' : 'ann' }
    case 'with another body': return { ...sent, body: { ...fields, phones: ['another'] } }
    case 'with another tag': return { ...sent, ifMatch: sent.ifMatch === '*' ? undefined : '*' }
  }
}

t.test('generated sequences: the answers and the rows are those of the reference', async (t) => {
  let now = Date.parse('2026-06-01T00:00:00.000Z')
  mock.timers.enable({ apis: ['Date'], now })
  t.teardown(() => mock.timers.reset())

  const schema = engineOf(t) === 'postgres' ? await openSchema() : undefined
  // Reading all rows over a connection is slow.
  const numRuns = schema === undefined ? allRuns : Math.ceil(allRuns / 5)
  if (schema !== undefined) t.teardown(schema.close)

  const file = `${t.testdir()}/contacts.db`
  const open = async () => {
    if (schema !== undefined) {
      const pool = new pg.Pool(schema.settings)
      const app = fastify()
      await app.register(omnichannelContacts, { database: pool, idempotencyWindow: window })
      const close = async (): Promise<void> => {
        await app.close()
        await pool.end()
      }
      return { app, db: schema.db, close }
    }
    const database = engineOf(t) === 'node-sqlite' ? new DatabaseSync(file) : openHandle(file)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
    const app = fastify()
    await app.register(omnichannelContacts, { database, idempotencyWindow: window })
    const close = async (): Promise<void> => {
      await app.close()
      database.close()
    }
    return { app, db: sqliteDb(database), close }
  }
  let server = await open()
  t.teardown(async () => { await server.close() })
  const tables = Object.keys(await allRows(server.db)).filter((table) => !/permission|migration/.test(table)).reverse()

  // The reference stores the request itself, so each fingerprint is replaced by its request.
  const requests = new Map<unknown, unknown>()
  // In the reference, the id of an update is its time.
  const updates = new Map<unknown, unknown>()
  const readNamed = async (): Promise<Record<string, Table>> => {
    const all = await read(server.db)
    for (const row of all.omnichannel_contact!) {
      if (row.update_id !== null && !updates.has(row.update_id)) updates.set(row.update_id, row.updated_at)
      row.update_id = updates.get(row.update_id) ?? null
    }
    return all
  }
  const compare = async (is: object, expected: Record<string, Table>, rest: object = {}): Promise<void> => {
    const all = await readNamed()
    for (const row of all.omnichannel_idempotency_key!) {
      const twin = expected.omnichannel_idempotency_key!.find((other) => other.user_id === row.user_id && other.key === row.key)
      if (!requests.has(row.fingerprint)) requests.set(row.fingerprint, twin?.fingerprint)
      row.fingerprint = requests.get(row.fingerprint)
    }
    assert.deepStrictEqual({ ...is, rows: sorted(all) }, { ...rest, rows: sorted(expected) })
  }

  const seen: Record<string, number> = {}
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15, size: 'max' }), async (steps) => {
    await server.db.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
    await fill(server.db)
    let model = await read(server.db)
    let crashes = 0
    const history: Sent[] = []

    const send = async (sent: Sent): Promise<void> => {
      mock.timers.setTime(++now)
      const { user, body, ifMatch, key } = sent
      const expected = predictWithHeaders(model, body, { user, ifMatch, key, now: new Date().toISOString(), window })
      const reply = await server.app.inject({
        method: 'POST',
        url: path,
        headers: {
          'content-type': 'application/json',
          ...as(user),
          ...ifMatch !== undefined && { 'if-match': ifMatch },
          ...key !== undefined && { 'idempotency-key': key }
        },
        payload: JSON.stringify(body)
      })
      const { statusCode: status, headers: { etag, 'idempotency-replayed': replayed } } = reply
      const { rows, ...rest } = expected
      await compare({ status, etag, replayed, body: reply.json() }, rows, rest)
      if (status === 200 && key !== undefined) {
        const stored = await server.db.value('SELECT answer FROM omnichannel_idempotency_key WHERE user_id = $1 AND key = $2', user, unquoted(key))
        assert.equal(reply.body, stored, 'byte for byte')
      }
      model = rows
      const kind = replayed === undefined ? String(status) : crashes > sent.crashes ? 'replayed after a crash' : 'replayed'
      seen[kind] = (seen[kind] ?? 0) + 1
    }

    for (const step of steps) {
      if ('update' in step) {
        const { user, body, key, tag } = step.update
        const contactId = (body as { contactId?: unknown } | null)?.contactId
        const version = Number(model.omnichannel_contact!.find(({ id }) => id === contactId)?.version ?? 1)
        const sent: Sent = { user, body, key, ifMatch: tag === undefined ? undefined : tags[tag]!(version), crashes }
        await send(sent)
        if (key !== undefined && typeof body === 'object' && body !== null) history.push(sent)
      } else if ('retryOf' in step) {
        const sent = history.at(-1 - step.retryOf % Math.max(history.length, 1))
        if (sent !== undefined) await send(retry(sent, step.how))
      } else if ('crash' in step) {
        await server.close()
        server = await open()
        crashes++
        await compare({}, model)
      } else if ('edit' in step) {
        await server.db.exec(edits[step.edit]!)
        const edited = await readNamed()
        const isThere = (row: Table[number]): boolean => edited.omnichannel_contact!.some(({ id }) => id === row.contact_id)
        model = { ...edited, omnichannel_idempotency_key: model.omnichannel_idempotency_key!.filter(isThere) }
        await compare({}, model)
      } else {
        now += step.wait
      }
    }
  }), { numRuns })

  const kinds = ['200', '400', '403', '412', '422', 'replayed', 'replayed after a crash']
  t.strictSame(Object.keys(seen).filter((kind) => !kinds.includes(kind)), [], `no other kind was seen: ${JSON.stringify(seen)}`)
  // PostgreSQL makes only a fifth of the runs, and they may not have every kind.
  if (numRuns === allRuns) t.strictSame(Object.keys(seen).sort(), kinds, 'every kind was seen')
})
