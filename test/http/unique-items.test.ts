// Our keyword uniqueItems must agree with Ajv's own on every list without "__proto__", which Ajv never takes for a duplicate.

import { Ajv2020 } from 'ajv/dist/2020.js'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { uniqueItems } from '../../src/http/unique-items.js'
import t from '../helpers/engines.js'

const numRuns = Number(process.env.RUNS ?? 1000)

const text = fc.oneof(fc.constantFrom('', '0', '1', 'null', 'true', 'constructor', 'valueOf', 'length'), fc.string({ maxLength: 1 }))
const item = fc.oneof(
  { weight: 20, arbitrary: text },
  { weight: 10, arbitrary: fc.constantFrom(0, 1, null, true) },
  { weight: 1, arbitrary: fc.constantFrom([], {}) })
const list = fc.oneof(fc.array(item, { maxLength: 8 }), fc.constantFrom(null, '', 'x'))
const body = fc.record({ emails: list, phones: list, wipeConflicts: fc.constantFrom(true, []) }, { requiredKeys: [] })

type Validate = (sent: unknown) => [isValid: boolean, message: string | undefined, coerced: unknown]

function compile (ajv: Pick<Ajv2020, 'compile'>, unique: boolean): Validate {
  const list = { type: 'array', items: { type: 'string' }, uniqueItems: unique, nullable: true }
  const validate = ajv.compile({ type: 'object', properties: { emails: list, phones: list, wipeConflicts: { type: 'boolean' } } })
  return (sent) => {
    const body = structuredClone(sent)
    return [validate(body), validate.errors?.[0]?.message, body]
  }
}

for (const unique of [true, false]) {
  t.test(`uniqueItems ${unique}, generated lists: the same verdict, pair and coercion as Ajv's own`, async (t) => {
    const [own, ours] = [
      compile(new Ajv2020({ coerceTypes: true }), unique),
      compile(new Ajv2020({ coerceTypes: true }).removeKeyword('uniqueItems').addKeyword(uniqueItems), unique)
    ]
    let duplicates = 0
    fc.assert(fc.property(body, (sent) => {
      const expected = own(sent)
      assert.deepStrictEqual(ours(sent), expected)
      if (expected[1]?.includes('duplicate') === true) duplicates++
    }), { numRuns })
    t.equal(duplicates > numRuns / 10, unique, `${duplicates} lists with duplicates`)
  })
}
