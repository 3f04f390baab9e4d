// Stored custom fields of megabytes, which src does not parse: the answers and the rows are as for small ones.

import fc from 'fast-check'
import assert from 'node:assert/strict'
import { allRows, as, build } from '../helpers/build.js'
import t, { sqlite } from '../helpers/engines.js'

const MB = 2_000_000
const members = (count: number, value: (index: number) => string): string => Array.from({ length: count }, (_, index) => `"k${index}":${value(index)}`).join(',')
const shapes: Record<string, string> = {
  'one value': `"x":"${'y'.repeat(MB)}"`,
  'a hundred thousand members': members(100_000, (index) => `"value${index}"`),
  escapes: `"x":"${'\\n'.repeat(MB / 2)}"`,
  quotes: `"x":"${'\\"'.repeat(MB / 2)}"`,
  backslashes: `"x":"${'\\\\'.repeat(MB / 2)}"`,
  'escaped characters': `"x":"${'\\u00e4'.repeat(MB / 6)}"`,
  numbers: `"x":[${'1,'.repeat(MB / 2 - 1)}1]`,
  arrays: `"x":[${'[],'.repeat(MB / 3 - 1)}[]]`,
  objects: `"x":[${'{"a":1},'.repeat(MB / 8 - 1)}{"a":1}]`,
  blanks: `"x"${' '.repeat(MB)}:${' \n\t\r'.repeat(MB / 4)}1`
}
for (const [name, text] of Object.entries(shapes)) {
  t.test(`2 MB of ${name}: kept character for character, answered, and replayed`, async (t) => {
    const { update, db } = await build(t)
    const read = async () => await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'")
    await db.exec("UPDATE omnichannel_contact SET custom_fields = $1 WHERE id = 'maria'", `{"plan":"silver",${text}}`)
    const fields = JSON.parse(`{${text}}`) as object
    const keyed = { ...as('ann'), 'idempotency-key': 'k' }
    const renamed = await update({ contactId: 'maria', name: 'Marie' })
    t.equal(renamed.statusCode, 200)
    assert.deepStrictEqual(renamed.json().contact.customFields, { plan: 'silver', ...fields })
    const changed = await update({ contactId: 'maria', customFields: { plan: 'gold', x: 'ignored' } }, keyed)
    if (name.startsWith('a hundred')) t.strictSame([changed.statusCode, changed.json().error], [400, 'Custom field x is not allowed'])
    else {
      assert.deepStrictEqual(changed.json().contact.customFields, { plan: 'gold', ...fields })
      const stored = (await read())!
      t.ok(stored.startsWith('{"plan":"gold",') && stored.includes(name === 'blanks' ? '"x":1' : text), 'character for character')
      const { omnichannel_contact: before } = await allRows(db)
      t.ok((await update({ contactId: 'maria', customFields: { plan: 'gold', x: 'ignored' } }, keyed)).body === changed.body)
      assert.deepStrictEqual((await allRows(db)).omnichannel_contact, before)
    }
  })
}

t.test('hooks that do not read the contacts: megabytes of custom fields are not parsed', async (t) => {
  const { parse } = JSON
  let [longest, calls] = [0, 0]
  // JSON.stringify changes these numbers.
  const numbers = '"zero":-0,"huge":[1e400],"large":1E+300,"small":-0.5e-7'
  const { update, db } = await build(t, { beforeCommit: () => { calls++ }, onContactUpdated: () => { calls++ } })
  await db.exec("UPDATE omnichannel_contact SET custom_fields = $1 WHERE id = 'maria'", `{${numbers},${shapes['one value']}}`)
  const intercepted = t.intercept(JSON, 'parse', {
    value: (text: string) => {
      longest = Math.max(longest, text.length)
      return parse(text) as unknown
    }
  })
  const reply = await update({ contactId: 'maria', customFields: { plan: 'gold' } })
  intercepted.restore()
  t.match(reply.json().contact.customFields, { plan: 'gold', zero: 0, huge: [null], large: 1e300, small: -0.5e-7 })
  t.equal(calls, 2)
  t.ok(longest < 10_000, `the longest text has ${longest} characters`)
})

const pad = `"pad":"${'x'.repeat(20_000)}"`
const value = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constantFrom(
    '1e400', '-1e400', '-0', '-0.0', '-0e9', '-0.5', '0', '0.5', '1.50', '1E5', '1e-7', '-1e-400', '1e21', '1e100', '12345678901234567890', '9'.repeat(400), '-1', 'true', 'false', 'null',
    '[ ]', '{ }', '{"a" : [1 , {"b":[]}]}', '"\\ud800"', '"\\u0041\\/"', '"\u2028"', '[[[[]]]]', '{"__proto__":{"a":1}}'
  )
)
const key = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 5 }), fc.constantFrom('__proto__', 'constructor', 'a\\u0062', '"', '\\', 'plan'))
const object = fc.array(fc.tuple(key, value, fc.constantFrom('', ' ', '\n\t')), { maxLength: 5 })

// JSON.parse of Node.js 24.21 reads the key " as \ if it has read the key \ at the same place before.
JSON.parse('{"plan":1,"\\\\":1}')
const misreadsQuote = '\\' in (JSON.parse('{"plan":1,"\\"":1}') as object)

t.test('generated custom fields beside a long text: answered as JSON.parse reads them', async (t) => {
  const { update, db } = await build(t)
  await fc.assert(fc.asyncProperty(object, async (list) => {
    const text = `{${[...list.map(([name, value, blank]) => `${blank}${JSON.stringify(name)}${blank}:${blank}${value}${blank}`), pad].join(',')}}`
    // PostgreSQL's json cannot hold U+0000.
    if (text.includes('\\u0000') || (misreadsQuote && text.includes('"\\""'))) return
    await db.exec("UPDATE omnichannel_contact SET custom_fields = $1 WHERE id = 'maria'", text)
    const reply = await update({ contactId: 'maria', phones: ['1'] })
    const stored = JSON.parse(text) as Record<string, unknown>
    assert.equal(reply.statusCode, 200)
    assert.deepStrictEqual(reply.json().contact.customFields, JSON.parse(JSON.stringify(stored)))
    const changed = await update({ contactId: 'maria', customFields: { plan: 'gold' } })
    const { plan, ...others } = changed.json().contact.customFields
    delete stored.plan
    assert.deepStrictEqual([changed.statusCode, plan, others], [200, 'gold', JSON.parse(JSON.stringify(stored))])
  }), { numRuns: 150 })
})

sqlite.test('sqlite: stored custom fields that are no JSON object: 500, and the row stays', async (t) => {
  const { update, db } = await build(t)
  await db.exec('PRAGMA ignore_check_constraints = ON')
  const put = async (text: string) => { await db.exec("UPDATE omnichannel_contact SET custom_fields = $1 WHERE id = 'maria'", text) }
  const read = async () => await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'")
  const isObject = (text: string): boolean => {
    try {
      const parsed: unknown = JSON.parse(text)
      return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
    } catch {
      return false
    }
  }
  const check = async (text: string): Promise<void> => {
    await put(text)
    const expected = isObject(text) ? 200 : 500
    const merged = await update({ contactId: 'maria', customFields: { plan: 'gold' } })
    assert.equal(merged.statusCode, expected, text.replace(pad, 'pad'))
    if (expected === 500) assert.equal(await read(), text)
    if (!text.includes(pad)) return
    await put(text)
    assert.equal((await update({ contactId: 'maria', phones: ['1'] })).statusCode, expected, text.replace(pad, 'pad'))
    if (expected === 500) assert.equal(await read(), text)
  }
  const broken = [
    '', ' ', '[]', 'null', '1', '"x"', '{', '}', '{}}', '{} x', '{,}', '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', '{a:1}', "{'a':1}", '{"a":01}',
    '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":1e}', '{"a":--1}', '{"a":0x1}', '{"a":NaN}', '{"a":Infinity}', '{"a":truex}', '{"a":tru}', '{"a":"\n"}',
    '{"a":"\\x"}', '{"a":"\\u00g0"}', '{"a":"\\u00"}', '{"a":"\\', '{"a":"', '{"a', '{"a":[1,]}', '{"a":[}', '{"a":[1}}', '{"a":{]}', '{"a":[1]]}',
    '{"a":1}/* x */', '\uFEFF{}', '{"a":1}\u00a0', '{"a":[,1]}', '{"a":{,}}', '{:1}', '{"a"::1}', '{"a":1:2}', '{"a":[1:2]}', '{"a":[1', '{"a":{"b":1'
  ]
  for (const text of broken) {
    await check(text)
    if (text.startsWith('{')) await check(`{${pad},${text.slice(1)}`)
  }
  for (const text of [` \n{ ${pad} }\t\r`, '{}', ' { } ', '{"":[]}']) await check(text)
  const damaged = fc.tuple(object, fc.nat(), fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\\', '0', '-', 'e', '.', ' ', '\u0001', 'u'))
  await fc.assert(fc.asyncProperty(damaged, fc.boolean(), async ([list, place, character], isLong) => {
    const text = `{${[...list.map(([name, value, blank]) => `${JSON.stringify(name)}${blank}:${value}`), ...isLong ? [pad] : []].join(',')}}`
    const at = place % Math.min(text.length, 200)
    await check((text.slice(0, at) + character + text.slice(at + 1)).toWellFormed())
  }), { numRuns: 700 })
  t.pass()
})
