// Generated texts and bytes as a body: the answer is one of the contract, never a 500, and a refused body changes no row.

import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { allRows, as, build } from '../helpers/test-server.js'
import { forbidden, unauthorized } from '../helpers/refusals.js'

/** RUNS=50000 runs more generated cases. */
const numRuns = Number(process.env.RUNS ?? 1000)

const validJson = '{"contactId":"maria","name":"Mar\\u00eda","emails":["a@b"],"customFields":{"plan":"gold"},"wipeConflicts":true}'
/** This JSON, with up to twenty characters replaced by up to five others. */
const damagedJson = fc.tuple(fc.nat(validJson.length), fc.nat(20), fc.string({ maxLength: 5 })).map(([start, length, replacement]) =>
  validJson.slice(0, start) + replacement + validJson.slice(start + length))
const hostileText = fc.constantFrom(
  '{"contactId":"maria","__proto__":null}', '{"__proto__":{"contactId":"maria"}}', '{"contactId":"maria","constructor":{"prototype":{}}}',
  '{"contactId":"maria","name":1e999}', '{"contactId":"maria","name":"\\ud800\\u0000"}', '{"contactId":"maria","phones":[1e21,-0,"0"]}',
  '{"contactId":"maria","customFields":{"plan":"gold","__proto__":1}}', '\u0000', '{}{}', '[]', 'null', 'NaN', '\uFEFF\uFEFF{}', '{"contactId"',
  '['.repeat(50_000), '{"a":'.repeat(50_000), `{"contactId":"maria","emails":${'['.repeat(9000)}${']'.repeat(9000)}}`,
  'contactId=maria&name=X', 'contactId=maria&contactId=blank&phones=', 'contactId=%', 'contactId=maria&wipeConflicts=true', '&&&===', '%00=%00'
)
const payload = fc.oneof(
  damagedJson, hostileText, fc.string({ unit: 'binary' }), fc.json({ stringUnit: 'binary' }),
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

/** One request for each status, so that every run has all of them. */
const examples: Array<[payload: string | Buffer, contentType: string, headers: Record<string, string>]> = [
  [validJson, 'application/json', as('ann')],
  ['{', 'application/json', as('ann')],
  [validJson, 'application/json', as('who')],
  [validJson, 'application/json', as('nick')]
]

const errorCodes = ['error-contact-not-found', 'error-contact-manager-not-found', 'error-invalid-operation']
const errorTexts = /^(Invalid value for .* field|Custom field .* is not allowed)$/s

/** The expected body of a 400. Its error is one of the contract, and only an error of the body's form has `errorType`. */
function expected400 (error: string): object {
  if (error.endsWith(' [invalid-params]')) return { success: false, error, errorType: 'invalid-params' }
  assert.ok(errorCodes.includes(error) || errorTexts.test(error), error)
  return { success: false, error }
}

t.test('generated bodies, content types and callers: an answer of the contract', async (t) => {
  const { db, post } = await build(t)
  const counts: Record<number, number> = {}
  await fc.assert(fc.asyncProperty(payload, contentType, headers, async (payload, type, caller) => {
    const before = await allRows(db)
    const reply = await post(payload, { 'content-type': type, ...caller })
    const { statusCode: status } = reply
    counts[status] = (counts[status] ?? 0) + 1
    assert.equal(reply.headers['content-type'], 'application/json')
    assert.equal(reply.headers['cache-control'], 'no-store')
    assert.equal(reply.headers.pragma, 'no-cache')
    if (status === 200) return assert.deepStrictEqual(Object.keys(reply.json()), ['contact', 'success'])
    const expected = status === 400 ? expected400(reply.json().error) : { 401: unauthorized, 403: forbidden }[status]
    assert.deepStrictEqual(reply.json(), expected, `status ${status}`)
    assert.deepStrictEqual(await allRows(db), before)
  }), { numRuns, examples })
  t.strictSame(Object.keys(counts), ['200', '400', '401', '403'], `these statuses, and no other: ${JSON.stringify(counts)}`)
})
