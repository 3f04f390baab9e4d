// Arbitrary bytes as a body: the answer is one of the contract, never a 500, and a refused body changes no row.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { allRows, as, build } from '../helpers/build.js'
import { forbidden, unauthorized } from '../helpers/refusals.js'

const numRuns = Number(process.env.RUNS ?? 1000)

const good = '{"contactId":"maria","name":"Mar\\u00eda","emails":["a@b"],"customFields":{"plan":"gold"},"wipeConflicts":true}'
const torn = fc.tuple(fc.nat(good.length), fc.nat(20), fc.string({ maxLength: 5 })).map(([from, length, put]) =>
  good.slice(0, from) + put + good.slice(from + length))
const hostile = fc.constantFrom(
  '{"contactId":"maria","__proto__":null}', '{"__proto__":{"contactId":"maria"}}', '{"contactId":"maria","constructor":{"prototype":{}}}',
  '{"contactId":"maria","name":1e999}', '{"contactId":"maria","name":"\\ud800\\u0000"}', '{"contactId":"maria","phones":[1e21,-0,"0"]}',
  '{"contactId":"maria","customFields":{"plan":"gold","__proto__":1}}', '\u0000', '{}{}', '[]', 'null', 'NaN', '\uFEFF\uFEFF{}', '{"contactId"',
  '['.repeat(50_000), '{"a":'.repeat(50_000), `{"contactId":"maria","emails":${'['.repeat(9000)}${']'.repeat(9000)}}`,
  'contactId=maria&name=X', 'contactId=maria&contactId=blank&phones=', 'contactId=%', 'contactId=maria&wipeConflicts=true', '&&&===', '%00=%00'
)
const payload = fc.oneof(
  torn, hostile, fc.string({ unit: 'binary' }), fc.json({ stringUnit: 'binary' }),
  fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
  fc.webQueryParameters().map((query) => `contactId=maria&${query}`)
)
const contentType = fc.oneof(
  { weight: 6, arbitrary: fc.constant('application/json') },
  { weight: 3, arbitrary: fc.constant('application/x-www-form-urlencoded') },
  fc.constantFrom('application/json; charset=utf-8', 'application/json;', 'application/json; charset', 'APPLICATION/JSON', 'text/plain',
    'application/json, text/html', '*/*', ';', ' ', 'application/jsonx', 'application/', 'constructor/__proto__', 'multipart/form-data')
)
const headers = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('ann', 'mia', 'adam').map(as) },
  fc.constantFrom('nick', 'ina', 'who').map(as),
  fc.record({ 'x-user-id': fc.constantFrom('', 'ann', '__proto__'), 'x-auth-token': fc.string({ maxLength: 5 }).filter((text) => /^[!-~]*$/.test(text)) })
)

/** One for each status, so that no run lacks one by chance. */
const examples: Array<[string | Buffer, string, Record<string, string>]> = [
  [good, 'application/json', as('ann')], ['{', 'application/json', as('ann')], [good, 'application/json', as('who')], [good, 'application/json', as('nick')]
]

const refusals: Record<number, (body: Record<string, unknown>) => unknown> = {
  400: ({ error }) => String(error).endsWith(' [invalid-params]')
    ? { success: false, error, errorType: 'invalid-params' }
    : /^(error-(contact|contact-manager)-not-found|error-invalid-operation|Invalid value for .* field|Custom field .* is not allowed)$/s
      .test(String(error)) && { success: false, error },
  401: () => unauthorized,
  403: () => forbidden
}

t.test('generated bodies, content types and callers: an answer of the contract', async (t) => {
  const { db, post } = await build(t)
  const seen: Record<number, number> = {}
  await fc.assert(fc.asyncProperty(payload, contentType, headers, async (payload, type, caller) => {
    const before = await allRows(db)
    const reply = await post(payload, { 'content-type': type, ...caller })
    const { statusCode: status } = reply
    seen[status] = (seen[status] ?? 0) + 1
    assert.equal(reply.headers['content-type'], 'application/json')
    assert.equal(reply.headers['cache-control'], 'no-store')
    assert.equal(reply.headers.pragma, 'no-cache')
    if (status === 200) return assert.deepStrictEqual(Object.keys(reply.json()), ['contact', 'success'])
    assert.ok(status in refusals, `status ${status}`)
    assert.deepStrictEqual(reply.json(), refusals[status]!(reply.json()))
    assert.deepStrictEqual(await allRows(db), before)
  }), { numRuns, examples })
  t.strictSame(Object.keys(seen), ['200', '400', '401', '403'], `these statuses, and no other: ${JSON.stringify(seen)}`)
})
