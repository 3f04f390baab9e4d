// Prepares every query of src/store/queries.ts, and looks at its plan.

import t from 'tap'
import * as queries from '../../../src/store/queries.js'
import { as, build } from '../../helpers/test-server.js'
import { openHandle } from '../../helpers/open-handle.js'

/** Scans that are right: of the few definitions of custom fields, of a list in the request, and of no table at all. */
const allowedScan = /^SCAN (main\.omnichannel_custom_field|item VIRTUAL TABLE\b.*|CONSTANT ROW|one_row)$/

t.test('every query: finds its rows by a key or an index', async (t) => {
  const prepared = new Set<string>()
  const database = openHandle(':memory:')
  const prepare = database.prepare.bind(database)
  database.prepare = (sql: string) => {
    if (sql.includes('"omnichannel_')) prepared.add(sql)
    return prepare(sql)
  }

  const { update } = await build(t, { database })
  const withOwnUsers = await build(t, { database, authenticate: () => ({ id: 'ann' }) })
  const allFields = {
    contactId: 'maria', name: 'Marie', emails: ['a@b'], phones: ['1'], customFields: { plan: 'gold' }, contactManager: 'ann', wipeConflicts: true
  }
  // Some queries run only if the host has triggers.
  database.exec('CREATE TRIGGER host AFTER UPDATE ON omnichannel_contact BEGIN SELECT 1; END')
  t.equal((await update(allFields)).statusCode, 200)
  t.equal((await update({ contactId: 'maria', emails: ['c', 'd'], phones: ['2', '3'] })).statusCode, 200)
  t.equal((await update({ contactId: 'maria', emails: [], phones: [] })).statusCode, 200)
  t.equal((await withOwnUsers.update(allFields)).statusCode, 200)
  t.equal((await update({ contactId: 'maria' }, { ...as('ann'), 'idempotency-key': 'expired' })).statusCode, 200)
  database.exec("UPDATE omnichannel_idempotency_key SET created_at = '2026-01-01T00:00:00.000Z'")
  t.equal((await update({ contactId: 'maria' }, { ...as('ann'), 'idempotency-key': 'new' })).statusCode, 200)

  // findLastUpdate runs on PostgreSQL only, after a lost COMMIT.
  const expected = [queries, queries.emails, queries.phones].flatMap((group) => Object.values<unknown>(group))
    .filter((query) => typeof query === 'function' && query !== queries.findLastUpdate)
  t.ok(prepared.size >= expected.length, `${prepared.size} statements of ${expected.length} queries were seen`)
  for (const sql of prepared) {
    const parameters = Array(sql.split('?').length - 1).fill(null)
    const plan = prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters).map((step) => step.detail)
    t.strictSame(plan.filter((step) => step.startsWith('SCAN') && !allowedScan.test(step)), [], sql)
  }
})
