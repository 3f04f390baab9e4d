// Generated bodies. Status, headers, body and all rows are compared with reference.ts. RUNS=50000 runs more of them. A failure prints its
// seed and the smallest body that fails.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { build, fill } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'
import t, { engineOf } from '../helpers/engines.js'
import { body, fieldIds, text } from './generated-bodies.js'
import { readTables, sortRows, tablesToEmpty, type Table } from './reference-rows.js'
import { predict } from './reference.js'

const allRuns = Number(process.env.RUNS ?? 1000)

const definition = fc.record({
  id: fieldIds,
  label: fc.constantFrom('', 'Label', '<b>%s</b>'),
  scope: fc.constantFrom('visitor', 'visitor', 'visitor', 'room'),
  visibility: fc.constantFrom('visible', 'visible', 'visible', 'hidden'),
  required: fc.constantFrom(false, false, true),
  regexp: fc.constantFrom('', '', '^(gold|silver)$', '^\\d+$', 'o', '^.$', '(', '^true$')
})
/** JSON as hosts and imports may store it. JSON.stringify would write most of it differently. */
const json = fc.oneof(
  text.map((value) => JSON.stringify(value)),
  fc.constantFrom('1e400', '12345678901234567890', '-0', '1.0', '{"a" : [1E1, "}"]}', '"\\u0061\\/\\""', 'null', '[]')
)
/** What is stored before the bodies are sent. `definitions` is null if the custom fields of `fill` stay. The rest belongs to maria. */
const storedRows = fc.record({
  definitions: fc.option(fc.uniqueArray(definition, { selector: ({ id }) => id, maxLength: 5 }), { freq: 2 }),
  customFields: fc.uniqueArray(fc.tuple(fieldIds, json), { selector: ([name]) => name, maxLength: 5 }),
  conflicts: fc.array(fc.constantFrom('name', 'manager', 'customFields.plan').map((field) => ({ field, value: 'x' })), { maxLength: 3 })
})

type StoredRows = typeof storedRows extends fc.Arbitrary<infer Generated> ? Generated : never

const tablesWithUpdatedAt = ['contact', 'room', 'subscription', 'inquiry'].map((table) => `omnichannel_${table}`)
const longAgo = '2026-01-01T00:00:00.000Z'

t.test('generated updates: the answers and the rows are those of the reference', async (t) => {
  const { db, update } = await build(t)
  // Reading all rows over a connection is slow.
  const numRuns = engineOf(t) === 'postgres' ? Math.ceil(allRuns / 5) : allRuns
  const tables = await tablesToEmpty(db)
  const statuses: Record<number, number> = {}

  const bodies = fc.array(body, { minLength: 1, maxLength: 2 })
  await fc.assert(fc.asyncProperty(storedRows, bodies, async (stored, bodies) => {
    await db.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
    await fill(db)
    await storeRows(db, stored)
    for (const sent of bodies) {
      await makeRowsOld(db)
      const expected = predict(await readTables(db), sent)
      const reply = await update(sent)
      const { etag, 'idempotency-replayed': replayed } = reply.headers
      const answer = reply.json()
      if (answer.contact?._updatedAt !== undefined && answer.contact._updatedAt !== longAgo) answer.contact._updatedAt = 'changed'
      const rows = replaceNewValues(await readTables(db))
      assert.deepStrictEqual(
        { status: reply.statusCode, etag, replayed, body: answer, rows: sortRows(rows) }, { ...expected, rows: sortRows(expected.rows) })
      await checkKeptFields(db, stored)
      statuses[reply.statusCode] = (statuses[reply.statusCode] ?? 0) + 1
    }
  }), { numRuns })
  t.ok((statuses[200] ?? 0) > numRuns / 5 && (statuses[400] ?? 0) > numRuns / 5, `many updates get 200, and many 400: ${JSON.stringify(statuses)}`)
})

async function storeRows (db: Db, { definitions, customFields, conflicts }: StoredRows): Promise<void> {
  await db.exec("UPDATE omnichannel_contact SET custom_fields = $1, conflicting_fields = $2 WHERE id = 'maria'",
    `{ ${customFields.map(toMember).join(' , ')} }`, JSON.stringify(conflicts))
  if (definitions === null) return
  await db.exec('DELETE FROM omnichannel_custom_field')
  for (const { id, label, scope, visibility, required, regexp } of definitions) {
    await db.exec('INSERT INTO omnichannel_custom_field (id, label, scope, visibility, required, regexp) VALUES ($1, $2, $3, $4, $5, $6)',
      id, label, scope, visibility, required, regexp)
  }
}

/** A member of a JSON object, as it is stored. */
function toMember ([name, value]: [name: string, json: string]): string {
  return `${JSON.stringify(name)}:${value}`
}

/** Gives all rows old times and no `update_id`, so that the next update shows which rows it changes. */
async function makeRowsOld (db: Db): Promise<void> {
  for (const table of tablesWithUpdatedAt) await db.exec(`UPDATE ${table} SET updated_at = '${longAgo}'`)
  await db.exec('UPDATE omnichannel_contact SET update_id = NULL')
}

/** Replaces new times and ids by `changed`, as the reference does. */
function replaceNewValues (tables: Record<string, Table>): Record<string, Table> {
  for (const table of tablesWithUpdatedAt) {
    for (const row of tables[table]!) if (row.updated_at !== longAgo) row.updated_at = 'changed'
  }
  for (const row of tables.omnichannel_contact!) if (row.update_id !== null) row.update_id = 'changed'
  return tables
}

/** Checks that each stored field that no update may change has kept its JSON text. */
async function checkKeptFields (db: Db, { customFields }: StoredRows): Promise<void> {
  const json = (await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'"))!
  for (const field of customFields) {
    const isAllowed = await db.value(
      "SELECT 1 FROM omnichannel_custom_field WHERE id = $1 AND scope = 'visitor' AND visibility <> 'hidden'", field[0]) === 1
    const isKept = [',', ' ', '}'].some((end) => json.includes(toMember(field) + end))
    assert.ok(isAllowed || isKept, `${toMember(field)} is kept in ${json}`)
  }
}
