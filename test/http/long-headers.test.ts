// Headers of millions of characters. No time is measured: a check that takes quadratic time would exceed the time limit of the test.

import { allRows, as, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { invalid, unauthorized } from '../helpers/refusals.js'

const size = 4_000_000
const body = { contactId: 'maria', name: 'Marie' }
const invalidKey = invalid('Invalid Idempotency-Key header')
const invalidIfMatch = invalid('Invalid If-Match header')
const unsupportedEncoding = invalid('The content encoding is not supported: send the body uncompressed')
const unsupportedType = invalid('The content type is not supported: send application/json')

const blanks = ' '.repeat(size)
const tabs = '\t '.repeat(size / 2)
const refused: Array<[header: string, value: string, status: number, answer: object]> = [
  ['idempotency-key', `a${blanks}b`, 400, invalidKey],
  ['idempotency-key', `a${tabs}b`, 400, invalidKey],
  ['idempotency-key', `"a${blanks}b"`, 400, invalidKey],
  ['idempotency-key', `${'" '.repeat(size / 2)}x`, 400, invalidKey],
  ['idempotency-key', blanks, 400, invalidKey],
  ['idempotency-key', '"'.repeat(size), 400, invalidKey],
  ['if-match', `*${blanks}*`, 400, invalidIfMatch],
  ['if-match', `${blanks}x`, 400, invalidIfMatch],
  ['if-match', `"1"${blanks}x`, 400, invalidIfMatch],
  ['if-match', ', '.repeat(size / 2), 400, invalidIfMatch],
  ['if-match', `"1"${', '.repeat(size / 2)}x`, 400, invalidIfMatch],
  ['if-match', `"1"${',\t'.repeat(size / 2)}"`, 400, invalidIfMatch],
  ['if-match', '"'.repeat(size + 1), 400, invalidIfMatch],
  ['if-match', 'W/'.repeat(size / 2), 400, invalidIfMatch],
  ['if-match', `"${'x'.repeat(size)}`, 400, invalidIfMatch],
  ['x-user-id', `a${blanks}b`, 401, unauthorized],
  ['x-auth-token', `a${blanks}b`, 401, unauthorized],
  ['content-encoding', `a${blanks}b`, 400, unsupportedEncoding],
  ['content-encoding', `${' ,'.repeat(size / 2)}gzip`, 400, unsupportedEncoding],
  ['content-type', `text/${'x'.repeat(size)}`, 400, unsupportedType],
  ['content-type', `application/json${blanks}x`, 400, unsupportedType]
]
for (const [header, value, status, answer] of refused) {
  t.test(`${header} with millions of characters, which begin with ${JSON.stringify(value.slice(0, 6))}: ${status}`, async (t) => {
    const { post, db } = await build(t)
    const before = await allRows(db)
    const reply = await post(JSON.stringify(body), { [header]: value })
    t.strictSame([reply.statusCode, reply.json()], [status, answer])
    t.strictSame(await allRows(db), before)
  })
}

const accepted: Array<[header: string, value: string]> = [
  ['idempotency-key', `${blanks}key${tabs}`],
  ['if-match', `${blanks}*${tabs}`],
  ['if-match', `"1"${', '.repeat(size / 2)}"2"`],
  ['content-encoding', ' ,'.repeat(size / 2)],
  ['content-type', `application/json;${blanks}charset=utf-8`]
]
for (const [header, value] of accepted) {
  t.test(`${header} with millions of blanks where they are allowed: 200`, async (t) => {
    const { post } = await build(t)
    const reply = await post(JSON.stringify(body), { ...as('ann'), [header]: value })
    t.strictSame([reply.statusCode, reply.headers.etag], [200, '"2"'])
  })
}
