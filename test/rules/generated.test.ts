import assert from 'node:assert/strict'
import type { Database } from 'better-sqlite3'
import fc from 'fast-check'
import t from 'tap'
import { build, fill, rows } from '../build.js'
import { predict } from './reference.js'

// Bodies by the thousand, each compared with test/reference.ts: status, whole body, and every row afterwards.
// RUNS=50000 for a longer look; a failure prints its seed and the smallest body that shows it.

const numRuns = Number(process.env['RUNS'] ?? 1000)

const names = fc.constantFrom('plan', 'note', 'extra', 'secret', 'topic', 'legacy', '__proto__', 'constructor', 'hasOwnProperty', '', '7')
const loneUnits = fc.string({ unit: fc.nat(0xFFFF).map((unit) => String.fromCharCode(unit)), maxLength: 4 })
const text = fc.oneof(
  fc.constantFrom('', ' ', 'Maria', 'gold', ' silver\n', '7', 'a\u0000b', '\u0000', '\uD800', '🙂', '%s', '$&', 'a@b', '[1]', "'", '\uFEFF'),
  fc.string({ unit: 'binary', maxLength: 8 }),
  loneUnits
)
const contactId = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('maria', 'blank') }, fc.constantFrom<unknown>('gone', 'Maria', 'maria\u0000', '', 7, true), text)
const manager = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('ann', 'bob', 'ina', '') },
  fc.constantFrom('adam', 'mia', 'nick', 'nobody', ' ', 'ann\u0000', 'ann '))
const scalar = fc.oneof(text, fc.integer(), fc.double(), fc.boolean(), fc.constant(null))
const deep = fc.tuple(fc.nat(2000), fc.boolean()).map(([depth, arrays]) => {
  let value: unknown = null
  for (let level = 0; level < depth; level++) value = arrays ? [value] : { x: value }
  return value
})
const anything = fc.oneof(
  { weight: 3, arbitrary: scalar },
  { weight: 3, arbitrary: fc.constantFrom('', 0, false, null, 1, 'true', 'false') },
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' }) },
  { weight: 1, arbitrary: deep }
)

/** Like fc.record and fc.dictionary, but `__proto__` is a key like any other. */
function object (key: fc.Arbitrary<string>, value: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  return fc.array(fc.tuple(key, value), { maxLength: 5 }).map((entries) => Object.fromEntries(entries))
}

const parts = {
  name: text,
  emails: fc.uniqueArray(text, { maxLength: 4 }),
  phones: fc.oneof(
    fc.uniqueArray(text, { maxLength: 4 }),
    fc.array(fc.oneof(text, fc.integer({ min: 0, max: 9 }), fc.constantFrom('__proto__', 'constructor')), { maxLength: 4 })
  ),
  customFields: fc.oneof(
    object(names, scalar),
    object(names, anything),
    ...[fc.constantFrom('legacy', 'note'), names].map((rest) =>
      fc.tuple(fc.constantFrom('gold', 'silver'), object(rest, fc.constantFrom('gold', ' silver ', 7, true)))
        .map(([plan, others]) => ({ ...others, plan })))
  ),
  contactManager: manager,
  wipeConflicts: fc.boolean()
}
const sometimes = (part: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.option(part, { nil: undefined, freq: 2 })
const sound = fc.record({
  contactId, ...Object.fromEntries(Object.entries(parts).map(([key, part]) => [key, sometimes(part)]))
}, { requiredKeys: ['contactId'] })
const bent = fc.tuple(sound, object(fc.constantFrom('contactId', ...Object.keys(parts)), anything)).map(([good, bad]) => ({ ...good, ...bad }))
const odd = fc.tuple(sound, object(fc.oneof(names, text), anything)).map(([good, bad]) => ({ ...good, ...bad }))
const body = fc.oneof(
  { weight: 6, arbitrary: sound }, { weight: 3, arbitrary: bent }, { weight: 1, arbitrary: odd }, { weight: 1, arbitrary: anything })

const definition = fc.record({
  id: names,
  label: fc.constantFrom('', 'Label', '<b>%s</b>'),
  scope: fc.constantFrom('visitor', 'visitor', 'visitor', 'room'),
  visibility: fc.constantFrom('visible', 'visible', 'visible', 'hidden'),
  required: fc.constantFrom(0, 0, 1),
  regexp: fc.constantFrom('', '', '^(gold|silver)$', '^\\d+$', 'o', '^.$', '(', '^true$')
})
const world = fc.record({
  definitions: fc.option(fc.uniqueArray(definition, { selector: ({ id }) => id, maxLength: 5 }), { freq: 2 }),
  stored: object(names, text),
  conflicts: fc.array(fc.constantFrom('name', 'manager', 'customFields.plan').map((field) => ({ field, value: 'x' })), { maxLength: 3 })
})

type Table = Array<Record<string, unknown>>

/** The rows as the reference wants them: JSON read, and definitions in the order in which they were made. */
function read (database: Database): Record<string, Table> {
  const all = { ...rows(database), omnichannel_custom_field: database.prepare('SELECT * FROM omnichannel_custom_field ORDER BY rowid').all() }
  return JSON.parse(JSON.stringify(all), (key: string, value: unknown) =>
    ['custom_fields', 'conflicting_fields', 'details'].includes(key) ? JSON.parse(String(value)) : value)
}

function sorted (all: Record<string, Table>): Record<string, Table> {
  const byText = (row: object): string => JSON.stringify(row)
  return Object.fromEntries(Object.entries(all).map(([table, list]) =>
    [table, list.toSorted((a, b) => byText(a) < byText(b) ? -1 : 1)]))
}

void t.test('generated updates: the answers and the rows of the reference', async (t) => {
  const { database, update } = await build(t)
  const tables = Object.keys(rows(database)).filter((table) => !/permission|migration/.test(table)).reverse()
  const timed = ['contact', 'room', 'subscription', 'inquiry'].map((table) => `omnichannel_${table}`)
  const old = '2026-01-01T00:00:00.000Z'
  const seen: Record<number, number> = {}

  const bodies = fc.array(body, { minLength: 1, maxLength: 2 })
  await fc.assert(fc.asyncProperty(world, bodies, async ({ definitions, stored, conflicts }, bodies) => {
    database.exec(tables.map((table) => `DELETE FROM ${table};`).join(''))
    fill(database)
    database.prepare("UPDATE omnichannel_contact SET custom_fields = ?, conflicting_fields = ? WHERE id = 'maria'")
      .run(JSON.stringify(stored), JSON.stringify(conflicts))
    if (definitions !== null) {
      database.exec('DELETE FROM omnichannel_custom_field')
      const define = database.prepare('INSERT INTO omnichannel_custom_field VALUES (@id, @label, @scope, @visibility, @required, @regexp)')
      for (const each of definitions) define.run(each)
    }
    for (const sent of bodies) {
      for (const table of timed) database.exec(`UPDATE ${table} SET updated_at = '${old}'`)
      const before = read(database)
      const expected = predict(before, sent)
      const reply = await update(sent)
      const after = read(database)
      for (const table of timed) {
        for (const row of after[table]!) if (row['updated_at'] !== old) row['updated_at'] = 'moved'
      }
      const answer = reply.json()
      if (answer.contact?._updatedAt !== undefined && answer.contact._updatedAt !== old) answer.contact._updatedAt = 'moved'
      assert.deepStrictEqual(
        { status: reply.statusCode, body: answer, rows: sorted(after) }, { ...expected, rows: sorted(expected.rows) })
      seen[reply.statusCode] = (seen[reply.statusCode] ?? 0) + 1
    }
  }), { numRuns })
  t.ok((seen[200] ?? 0) > numRuns / 5 && (seen[400] ?? 0) > numRuns / 5, `both kinds were many: ${JSON.stringify(seen)}`)
})
