// Generated sequences of requests with If-Match and Idempotency-Key. Status, headers, body and all rows are compared with
// reference-headers.ts. Between the requests the server restarts, time passes, and the host edits its rows. RUNS=5000 runs more
// sequences. A failure prints its seed and the smallest sequence that fails.

import fc from 'fast-check'
import fastify, { type FastifyInstance } from 'fastify'
import assert from 'node:assert/strict'
import { mock } from 'node:test'
import pg from 'pg'
import omnichannelContacts from '../../src/index.js'
import { as, fill, path } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'
import t, { engineOf } from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { DatabaseSync } from '../helpers/node-sqlite.js'
import { openSchema, type PoolSettings } from '../helpers/postgres.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { body, validBody } from './generated-bodies.js'
import { predictWithHeaders } from './reference-headers.js'
import { readTables, sortRows, tablesToEmpty, type Table } from './reference-rows.js'

const allRuns = Number(process.env.RUNS ?? 150)
const idempotencyWindow = 60_000

/** Values of If-Match, for the version of the contact. */
const ifMatchValues: Record<string, (version: number) => string> = {
  current: (version) => `"${version}"`,
  older: (version) => `"${version - 1}"`,
  newer: (version) => `"${version + 1}"`,
  weak: (version) => `W/"${version}"`,
  'list with the current': (version) => `"${version - 1}", "${version}"`,
  'list of others': (version) => `"${version + 2}",W/"${version}"`,
  any: () => '*',
  invalid: (version) => String(version)
}
const hostEdits: Record<string, string> = {
  'the contact is deleted': "DELETE FROM omnichannel_contact WHERE id = 'maria'",
  'the contact is made anew': "INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria') ON CONFLICT DO NOTHING",
  'the contact is disabled': "UPDATE omnichannel_contact SET enabled = FALSE WHERE id = 'maria'",
  'the contact is enabled': "UPDATE omnichannel_contact SET enabled = TRUE WHERE id = 'maria'",
  'bob loses the permission': "DELETE FROM omnichannel_user_role WHERE user_id = 'bob'",
  'bob gets the permission': "INSERT INTO omnichannel_user_role VALUES ('bob', 'livechat-agent') ON CONFLICT DO NOTHING"
}

/** Bodies with few different values, so that many are sent twice. */
const simpleBody = fc.record({
  contactId: fc.constantFrom('maria', 'maria', 'maria', 'blank'),
  name: fc.constantFrom('Maria', 'Marie', 'Mia', 'Mary', ''),
  phones: fc.constantFrom(['1'], [1], ['1', '2'], null),
  customFields: fc.constantFrom({ plan: 'gold', note: 'x' }, { plan: 'silver' })
}, { requiredKeys: ['contactId'] })
const key = fc.oneof({ weight: 9, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'e', '"a"', '"b"') }, fc.constantFrom('a b', ''))
const newRequest = fc.record({
  kind: fc.constant('new request' as const),
  user: fc.constantFrom('ann', 'bob'),
  body: fc.oneof({ weight: 8, arbitrary: simpleBody }, { weight: 1, arbitrary: validBody }, { weight: 1, arbitrary: body }),
  ifMatch: fc.option(fc.constantFrom('current', ...Object.keys(ifMatchValues)), { nil: undefined, freq: 2 }),
  key: fc.option(key, { nil: undefined, freq: 3 })
})

const variations = ['as it was', 'in another form', 'by the other user', 'with another body', 'with another If-Match'] as const
/** One of the last four requests with a key is sent again. */
const retry = fc.record({
  kind: fc.constant('retry' as const),
  requestsAgo: fc.nat(3),
  variation: fc.constantFrom(variations[0], variations[0], ...variations)
})
const step = fc.oneof(
  { weight: 4, arbitrary: newRequest },
  { weight: 5, arbitrary: retry },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('edit' as const), edit: fc.constantFrom(...Object.keys(hostEdits)) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(20_000, idempotencyWindow - 1, idempotencyWindow) }) }
)

interface Sent {
  user: string
  body: unknown
  ifMatch: string | undefined
  key: string | undefined
  /** How often the server had restarted before this request was sent first. */
  restarts: number
}

const unquoted = (key: string): string => key.replace(/^"(.*)"$/, '$1')

function vary (sent: Sent, variation: typeof variations[number]): Sent {
  const fields = sent.body as Record<string, unknown>
  switch (variation) {
    case 'as it was': return sent
    case 'in another form': return { ...sent, body: Object.fromEntries(Object.entries(fields).reverse()), key: `"${unquoted(sent.key ?? '')}"` }
    case 'by the other user': return { ...sent, user: sent.user === 'ann' ? 'bob' : 'ann' }
    case 'with another body': return { ...sent, body: { ...fields, phones: ['another'] } }
    case 'with another If-Match': return { ...sent, ifMatch: sent.ifMatch === '*' ? undefined : '*' }
  }
}

interface Server {
  app: FastifyInstance
  db: Db
  close: () => Promise<void>
}

async function startOnPostgres (settings: PoolSettings, db: Db): Promise<Server> {
  const pool = new pg.Pool(settings)
  const app = fastify()
  await app.register(omnichannelContacts, { database: pool, idempotencyWindow })
  const close = async (): Promise<void> => {
    await app.close()
    await pool.end()
  }
  return { app, db, close }
}

async function startOnSqlite (database: ReturnType<typeof openHandle> | InstanceType<typeof DatabaseSync>): Promise<Server> {
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
  const app = fastify()
  await app.register(omnichannelContacts, { database, idempotencyWindow })
  const close = async (): Promise<void> => {
    await app.close()
    database.close()
  }
  return { app, db: sqliteDb(database), close }
}

/** Reads the rows with the fingerprints and update ids of the reference in place of those of the plugin. */
class RowReader {
  /** The reference has the request itself for a fingerprint. */
  private readonly requests = new Map<unknown, unknown>()
  /** In the reference, the id of an update is its time. */
  private readonly times = new Map<unknown, unknown>()

  async read (db: Db): Promise<Record<string, Table>> {
    const tables = await readTables(db)
    for (const row of tables.omnichannel_contact!) {
      if (row.update_id !== null && !this.times.has(row.update_id)) this.times.set(row.update_id, row.updated_at)
      row.update_id = this.times.get(row.update_id) ?? null
    }
    return tables
  }

  async check (db: Db, expected: Record<string, Table>): Promise<void> {
    const tables = await this.read(db)
    for (const row of tables.omnichannel_idempotency_key!) {
      const expectedRow = expected.omnichannel_idempotency_key!.find((other) => other.user_id === row.user_id && other.key === row.key)
      if (!this.requests.has(row.fingerprint)) this.requests.set(row.fingerprint, expectedRow?.fingerprint)
      row.fingerprint = this.requests.get(row.fingerprint)
    }
    assert.deepStrictEqual(sortRows(tables), sortRows(expected))
  }
}

t.test('generated sequences: the answers and the rows are those of the reference', async (t) => {
  let now = Date.parse('2026-06-01T00:00:00.000Z')
  mock.timers.enable({ apis: ['Date'], now })
  t.teardown(() => mock.timers.reset())

  const schema = engineOf(t) === 'postgres' ? await openSchema() : undefined
  if (schema !== undefined) t.teardown(schema.close)
  const file = `${t.testdir()}/contacts.db`
  const start = async (): Promise<Server> => {
    if (schema !== undefined) return await startOnPostgres(schema.settings, schema.db)
    return await startOnSqlite(engineOf(t) === 'node-sqlite' ? new DatabaseSync(file) : openHandle(file))
  }
  let server = await start()
  t.teardown(async () => { await server.close() })

  const rowReader = new RowReader()
  const tables = await tablesToEmpty(server.db)
  // Reading all rows over a connection is slow.
  const numRuns = schema === undefined ? allRuns : Math.ceil(allRuns / 5)
  const counts: Record<string, number> = {}

  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15, size: 'max' }), async (steps) => {
    await server.db.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
    await fill(server.db)
    /** The rows that the reference expects. */
    let model = await readTables(server.db)
    let restarts = 0
    const requestsWithKey: Sent[] = []

    const send = async (sent: Sent): Promise<void> => {
      mock.timers.setTime(++now)
      const { user, body, ifMatch, key } = sent
      const { rows, ...expected } = predictWithHeaders(model, body, { user, ifMatch, key, now: new Date().toISOString(), window: idempotencyWindow })
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
      assert.deepStrictEqual({ status, etag, replayed, body: reply.json() }, expected)
      await rowReader.check(server.db, rows)
      if (status === 200 && key !== undefined) {
        const stored = await server.db.value('SELECT answer FROM omnichannel_idempotency_key WHERE user_id = $1 AND key = $2', user, unquoted(key))
        assert.equal(reply.body, stored, 'byte for byte')
      }
      model = rows
      const outcome = replayed === undefined ? String(status) : restarts > sent.restarts ? 'replayed after a restart' : 'replayed'
      counts[outcome] = (counts[outcome] ?? 0) + 1
    }

    for (const step of steps) {
      switch (step.kind) {
        case 'new request': {
          const { user, body, key, ifMatch } = step
          const contactId = (body as { contactId?: unknown } | null)?.contactId
          const version = Number(model.omnichannel_contact!.find(({ id }) => id === contactId)?.version ?? 1)
          const sent: Sent = { user, body, key, ifMatch: ifMatch === undefined ? undefined : ifMatchValues[ifMatch]!(version), restarts }
          await send(sent)
          if (key !== undefined && typeof body === 'object' && body !== null) requestsWithKey.push(sent)
          break
        }
        case 'retry': {
          const sent = requestsWithKey.at(-1 - step.requestsAgo % Math.max(requestsWithKey.length, 1))
          if (sent !== undefined) await send(vary(sent, step.variation))
          break
        }
        case 'restart':
          await server.close()
          server = await start()
          restarts++
          await rowReader.check(server.db, model)
          break
        case 'edit': {
          await server.db.exec(hostEdits[step.edit]!)
          const edited = await rowReader.read(server.db)
          // Stored answers are deleted with their contact.
          const hasContact = (row: Table[number]): boolean => edited.omnichannel_contact!.some(({ id }) => id === row.contact_id)
          model = { ...edited, omnichannel_idempotency_key: model.omnichannel_idempotency_key!.filter(hasContact) }
          await rowReader.check(server.db, model)
          break
        }
        case 'wait':
          now += step.ms
      }
    }
  }), { numRuns })

  const outcomes = ['200', '400', '403', '412', '422', 'replayed', 'replayed after a restart']
  t.strictSame(Object.keys(counts).filter((outcome) => !outcomes.includes(outcome)), [], `there was no other outcome: ${JSON.stringify(counts)}`)
  // PostgreSQL makes only a fifth of the runs, and they may not have every outcome.
  if (numRuns === allRuns) t.strictSame(Object.keys(counts).sort(), outcomes, 'there was every outcome')
})
