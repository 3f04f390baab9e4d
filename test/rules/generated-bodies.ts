// Arbitraries of fast-check for bodies: valid ones, valid ones with some wrong values or unknown keys, and values of any type.

import fc from 'fast-check'

export const fieldIds = fc.constantFrom('plan', 'note', 'extra', 'secret', 'topic', 'legacy', '__proto__', 'constructor', 'hasOwnProperty', '', '7')
/** Any UTF-16 units, so also lone surrogates. */
const utf16Text = fc.string({ unit: fc.nat(0xFFFF).map((unit) => String.fromCharCode(unit)), maxLength: 4 })
export const text = fc.oneof(
  fc.constantFrom('', ' ', 'Maria', 'gold', ' silver\n', '7', 'a\u0000b', '\u0000', '\uD800', '🙂', '%s', '$&', 'a@b', '[1]', "'", '\uFEFF'),
  fc.string({ unit: 'binary', maxLength: 8 }),
  utf16Text
)
const contactId = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('maria', 'blank') }, fc.constantFrom<unknown>('gone', 'Maria', 'maria\u0000', '', 7, true), text)
const manager = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('ann', 'bob', 'ina', '') },
  fc.constantFrom('adam', 'mia', 'nick', 'nobody', ' ', 'ann\u0000', 'ann '))
const scalar = fc.oneof(text, fc.integer(), fc.double(), fc.boolean(), fc.constant(null))
/** Up to two thousand arrays or objects within each other. */
const nested = fc.tuple(fc.nat(2000), fc.boolean()).map(([depth, ofArrays]) => {
  let value: unknown = null
  for (let level = 0; level < depth; level++) value = ofArrays ? [value] : { x: value }
  return value
})
const valueOfAnyType = fc.oneof(
  { weight: 3, arbitrary: scalar },
  { weight: 3, arbitrary: fc.constantFrom('', 0, false, null, 1, 'true', 'false') },
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' }) },
  { weight: 1, arbitrary: nested }
)

/** Objects with up to five members. Unlike with fc.dictionary, `__proto__` is a key like any other. */
export function objectOf (key: fc.Arbitrary<string>, value: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  return fc.array(fc.tuple(key, value), { maxLength: 5 }).map((entries) => Object.fromEntries(entries))
}

/** Valid values of the optional keys. */
const optionalValues = {
  name: text,
  emails: fc.uniqueArray(text, { maxLength: 4 }),
  phones: fc.oneof(
    fc.uniqueArray(text, { maxLength: 4 }),
    fc.array(fc.oneof(text, fc.integer({ min: 0, max: 9 }), fc.constantFrom('__proto__', 'constructor')), { maxLength: 4 })
  ),
  customFields: fc.oneof(
    objectOf(fieldIds, scalar),
    objectOf(fieldIds, valueOfAnyType),
    fieldsWithPlan(fc.constantFrom('legacy', 'note')),
    fieldsWithPlan(fieldIds)
  ),
  contactManager: manager,
  wipeConflicts: fc.boolean()
}
const orAbsent = (value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.option(value, { nil: undefined, freq: 2 })
export const validBody = fc.record({
  contactId, ...Object.fromEntries(Object.entries(optionalValues).map(([key, value]) => [key, orAbsent(value)]))
}, { requiredKeys: ['contactId'] })
const keys = fc.constantFrom('contactId', ...Object.keys(optionalValues))
const withWrongValues = fc.tuple(validBody, objectOf(keys, valueOfAnyType)).map(([valid, wrong]) => ({ ...valid, ...wrong }))
const withUnknownKeys = fc.tuple(validBody, objectOf(fc.oneof(fieldIds, text), valueOfAnyType)).map(([valid, wrong]) => ({ ...valid, ...wrong }))
export const body = fc.oneof(
  { weight: 6, arbitrary: validBody }, { weight: 3, arbitrary: withWrongValues }, withUnknownKeys, valueOfAnyType)

/** Custom fields that have the required field plan. */
function fieldsWithPlan (otherIds: fc.Arbitrary<string>): fc.Arbitrary<object> {
  const others = objectOf(otherIds, fc.constantFrom('gold', ' silver ', 7, true))
  return fc.tuple(fc.constantFrom('gold', 'silver'), others).map(([plan, others]) => ({ ...others, plan }))
}
