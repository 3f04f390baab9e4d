// The keyword uniqueItems of src must agree with that of Ajv. Only "__proto__" is left out, because Ajv never takes it for a duplicate.

import { Ajv2020 } from 'ajv/dist/2020.js'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { uniqueItems } from '../../src/http/unique-items.js'
import t from '../helpers/engines.js'

/** RUNS=50000 runs more generated cases. */
const numRuns = Number(process.env.RUNS ?? 1000)

const text = fc.oneof(fc.constantFrom('', '0', '1', 'null', 'true', 'constructor', 'valueOf', 'length'), fc.string({ maxLength: 1 }))
const item = fc.oneof(
  { weight: 20, arbitrary: text },
  { weight: 10, arbitrary: fc.constantFrom(0, 1, null, true) },
  { weight: 1, arbitrary: fc.constantFrom([], {}) })
const list = fc.oneof(fc.array(item, { maxLength: 8 }), fc.constantFrom(null, '', 'x'))
const body = fc.record({ emails: list, phones: list, wipeConflicts: fc.constantFrom(true, []) }, { requiredKeys: [] })

/** What Ajv says of a body: whether it is valid, its first error, and the body after coercion. */
type Validate = (sent: unknown) => { isValid: boolean, message: string | undefined, coerced: unknown }

function compile (ajv: Pick<Ajv2020, 'compile'>, uniqueItems: boolean): Validate {
  const list = { type: 'array', items: { type: 'string' }, uniqueItems, nullable: true }
  const validate = ajv.compile({ type: 'object', properties: { emails: list, phones: list, wipeConflicts: { type: 'boolean' } } })
  return (sent) => {
    const coerced = structuredClone(sent)
    const isValid = validate(coerced)
    return { isValid, message: validate.errors?.[0]?.message, coerced }
  }
}

for (const isUnique of [true, false]) {
  t.test(`generated lists with uniqueItems ${isUnique}: the same result, message and coercion as with Ajv's keyword`, async (t) => {
    const validateWithAjv = compile(new Ajv2020({ coerceTypes: true }), isUnique)
    const validate = compile(new Ajv2020({ coerceTypes: true }).removeKeyword('uniqueItems').addKeyword(uniqueItems), isUnique)
    let duplicates = 0
    fc.assert(fc.property(body, (sent) => {
      const expected = validateWithAjv(sent)
      assert.deepStrictEqual(validate(sent), expected)
      if (expected.message?.includes('duplicate') === true) duplicates++
    }), { numRuns })
    t.equal(duplicates > numRuns / 10, isUnique, `${duplicates} lists with duplicates`)
  })
}
