// Generated bodies. Status, headers, body and all rows are compared with reference.ts. RUNS=50000 runs more of them. A failure prints its
// seed and the smallest body that fails.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { allRows, build, fill } from '../helpers/build.js'
import t, { engineOf } from '../helpers/engines.js'
import { body, fieldIds, text } from './generated-bodies.js'
import { read, sorted } from './reference-rows.js'
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
const world = fc.record({
  definitions: fc.option(fc.uniqueArray(definition, { selector: ({ id }) => id, maxLength: 5 }), { freq: 2 }),
  stored: fc.uniqueArray(fc.tuple(fieldIds, json), { selector: ([name]) => name, maxLength: 5 }),
  conflicts: fc.array(fc.constantFrom('name', 'manager', 'customFields.plan').map((field) => ({ field, value: 'x' })), { maxLength: 3 })
})

t.test('generated updates: the answers and the rows are those of the reference', async (t) => {
  const { db, update } = await build(t)
  // Reading all rows over a connection is slow.
  const numRuns = engineOf(t) === 'postgres' ? Math.ceil(allRuns / 5) : allRuns
  const tables = Object.keys(await allRows(db)).filter((table) => !/permission|migration/.test(table)).reverse()
  const tablesWithUpdatedAt = ['contact', 'room', 'subscription', 'inquiry'].map((table) => `omnichannel_${table}`)
  const old = '2026-01-01T00:00:00.000Z'
  const statuses: Record<number, number> = {}

  const bodies = fc.array(body, { minLength: 1, maxLength: 2 })
  await fc.assert(fc.asyncProperty(world, bodies, async ({ definitions, stored, conflicts }, bodies) => {
    await db.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
    await fill(db)
    await db.exec("UPDATE omnichannel_contact SET custom_fields = $1, conflicting_fields = $2 WHERE id = 'maria'",
      `{ ${stored.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(' , ')} }`, JSON.stringify(conflicts))
    if (definitions !== null) {
      await db.exec('DELETE FROM omnichannel_custom_field')
      for (const { id, label, scope, visibility, required, regexp } of definitions) {
        await db.exec('INSERT INTO omnichannel_custom_field (id, label, scope, visibility, required, regexp) VALUES ($1, $2, $3, $4, $5, $6)',
          id, label, scope, visibility, required, regexp)
      }
    }
    for (const sent of bodies) {
      for (const table of tablesWithUpdatedAt) await db.exec(`UPDATE ${table} SET updated_at = '${old}'`)
      await db.exec('UPDATE omnichannel_contact SET update_id = NULL')
      const before = await read(db)
      const expected = predict(before, sent)
      const reply = await update(sent)
      const after = await read(db)
      for (const table of tablesWithUpdatedAt) {
        for (const row of after[table]!) if (row.updated_at !== old) row.updated_at = 'changed'
      }
      for (const row of after.omnichannel_contact!) if (row.update_id !== null) row.update_id = 'changed'
      const { etag, 'idempotency-replayed': replayed } = reply.headers
      const answer = reply.json()
      if (answer.contact?._updatedAt !== undefined && answer.contact._updatedAt !== old) answer.contact._updatedAt = 'changed'
      assert.deepStrictEqual(
        { status: reply.statusCode, etag, replayed, body: answer, rows: sorted(after) }, { ...expected, rows: sorted(expected.rows) })
      statuses[reply.statusCode] = (statuses[reply.statusCode] ?? 0) + 1
      for (const [name, value] of stored) {
        const member = `${JSON.stringify(name)}:${value}`
        const fields = (await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'"))!
        // A field that no update may change keeps its JSON text.
        const isKept = [',', ' ', '}'].some((end) => fields.includes(member + end))
        const isAllowed = await db.value("SELECT 1 FROM omnichannel_custom_field WHERE id = $1 AND scope = 'visitor' AND visibility <> 'hidden'", name) === 1
        assert.ok(isKept || isAllowed, `${member} is kept in ${fields}`)
      }
    }
  }), { numRuns })
  t.ok((statuses[200] ?? 0) > numRuns / 5 && (statuses[400] ?? 0) > numRuns / 5, `many updates get 200, and many 400: ${JSON.stringify(statuses)}`)
})
