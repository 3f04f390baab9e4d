import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { engineOf } from '../engines.js'
import { build, fill, rows } from '../build.js'
import { body, names, text } from './generated-bodies.js'
import { read, sorted } from './reference-rows.js'
import { predict } from './reference.js'

// Bodies by the thousand, each compared with test/reference.ts: status, tag, whole body, and every row afterwards.
// RUNS=50000 for a longer look; a failure prints its seed and the smallest body that shows it.

const allRuns = Number(process.env.RUNS ?? 1000)

const definition = fc.record({
  id: names,
  label: fc.constantFrom('', 'Label', '<b>%s</b>'),
  scope: fc.constantFrom('visitor', 'visitor', 'visitor', 'room'),
  visibility: fc.constantFrom('visible', 'visible', 'visible', 'hidden'),
  required: fc.constantFrom(0, 0, 1),
  regexp: fc.constantFrom('', '', '^(gold|silver)$', '^\\d+$', 'o', '^.$', '(', '^true$')
})
/** As hosts and imports store it: JavaScript would write most of it in another way. */
const json = fc.oneof(
  text.map((value) => JSON.stringify(value)),
  fc.constantFrom('1e400', '12345678901234567890', '-0', '1.0', '{"a" : [1E1, "}"]}', '"\\u0061\\/\\""', 'null', '[]')
)
const world = fc.record({
  definitions: fc.option(fc.uniqueArray(definition, { selector: ({ id }) => id, maxLength: 5 }), { freq: 2 }),
  stored: fc.uniqueArray(fc.tuple(names, json), { selector: ([name]) => name, maxLength: 5 }),
  conflicts: fc.array(fc.constantFrom('name', 'manager', 'customFields.plan').map((field) => ({ field, value: 'x' })), { maxLength: 3 })
})

t.test('generated updates: the answers and the rows of the reference', async (t) => {
  const { database, update } = await build(t)
  // The rows are looked at over a connection.
  const numRuns = engineOf(t) === 'postgres' ? Math.ceil(allRuns / 5) : allRuns
  const tables = Object.keys(rows(database)).filter((table) => !/permission|migration/.test(table)).reverse()
  const timed = ['contact', 'room', 'subscription', 'inquiry'].map((table) => `omnichannel_${table}`)
  const old = '2026-01-01T00:00:00.000Z'
  const seen: Record<number, number> = {}
  const readFields = database.prepare<[], string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'").pluck()
  const findAllowed = database.prepare("SELECT 1 FROM omnichannel_custom_field WHERE id = ? AND scope = 'visitor' AND visibility <> 'hidden'")

  const bodies = fc.array(body, { minLength: 1, maxLength: 2 })
  await fc.assert(fc.asyncProperty(world, bodies, async ({ definitions, stored, conflicts }, bodies) => {
    database.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
    fill(database)
    database.prepare("UPDATE omnichannel_contact SET custom_fields = ?, conflicting_fields = ? WHERE id = 'maria'")
      .run(`{ ${stored.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(' , ')} }`, JSON.stringify(conflicts))
    if (definitions !== null) {
      database.exec('DELETE FROM omnichannel_custom_field')
      const define = database.prepare('INSERT INTO omnichannel_custom_field (id, label, scope, visibility, required, regexp) VALUES (@id, @label, @scope, @visibility, @required, @regexp)')
      for (const each of definitions) define.run(each)
    }
    for (const sent of bodies) {
      for (const table of timed) database.exec(`UPDATE ${table} SET updated_at = '${old}'`)
      database.exec('UPDATE omnichannel_contact SET update_id = NULL')
      const before = read(database)
      const expected = predict(before, sent)
      const reply = await update(sent)
      const after = read(database)
      for (const table of timed) {
        for (const row of after[table]!) if (row.updated_at !== old) row.updated_at = 'moved'
      }
      for (const row of after.omnichannel_contact!) if (row.update_id !== null) row.update_id = 'moved'
      const { etag, 'idempotency-replayed': replayed } = reply.headers
      const answer = reply.json()
      if (answer.contact?._updatedAt !== undefined && answer.contact._updatedAt !== old) answer.contact._updatedAt = 'moved'
      assert.deepStrictEqual(
        { status: reply.statusCode, etag, replayed, body: answer, rows: sorted(after) }, { ...expected, rows: sorted(expected.rows) })
      seen[reply.statusCode] = (seen[reply.statusCode] ?? 0) + 1
      for (const [name, value] of stored) {
        const member = `${JSON.stringify(name)}:${value}`
        const stays = [',', ' ', '}'].some((end) => readFields.get()!.includes(member + end))
        assert.ok(stays || findAllowed.get(name) !== undefined, `${member} stays in ${readFields.get()}`)
      }
    }
  }), { numRuns })
  t.ok((seen[200] ?? 0) > numRuns / 5 && (seen[400] ?? 0) > numRuns / 5, `both kinds were many: ${JSON.stringify(seen)}`)
})
