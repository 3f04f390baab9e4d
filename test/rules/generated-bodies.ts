// Generates bodies: valid ones, valid ones with some wrong values, and arbitrary values.

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
export function object (key: fc.Arbitrary<string>, value: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
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
    object(fieldIds, scalar),
    object(fieldIds, anything),
    // With the required field plan, and others that are known, or any.
    ...[fc.constantFrom('legacy', 'note'), fieldIds].map((otherIds) =>
      fc.tuple(fc.constantFrom('gold', 'silver'), object(otherIds, fc.constantFrom('gold', ' silver ', 7, true)))
        .map(([plan, others]) => ({ ...others, plan })))
  ),
  contactManager: manager,
  wipeConflicts: fc.boolean()
}
const sometimes = (part: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.option(part, { nil: undefined, freq: 2 })
export const valid = fc.record({
  contactId, ...Object.fromEntries(Object.entries(parts).map(([key, part]) => [key, sometimes(part)]))
}, { requiredKeys: ['contactId'] })
const withWrongValues = fc.tuple(valid, object(fc.constantFrom('contactId', ...Object.keys(parts)), anything)).map(([good, bad]) => ({ ...good, ...bad }))
const withUnknownKeys = fc.tuple(valid, object(fc.oneof(fieldIds, text), anything)).map(([good, bad]) => ({ ...good, ...bad }))
export const body = fc.oneof(
  { weight: 6, arbitrary: valid }, { weight: 3, arbitrary: withWrongValues }, withUnknownKeys, anything)
