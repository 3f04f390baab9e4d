// docs/contract.md, sections 1 and 3: the content types, the syntax and the size of a body.

import { allRows, as, build, path } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { invalid } from '../helpers/refusals.js'

const json = 'application/json'
const form = 'application/x-www-form-urlencoded'
const noContactId = "must have required property 'contactId'"
const notJson = 'The request body is not valid JSON'
const unsupported = 'The content type is not supported: send application/json'

t.test('valid JSON and valid forms: accepted', async (t) => {
  const { app, post } = await build(t)
  const scenarios: Array<[situation: string, type: string, body: string]> = [
    ['JSON', json, '{"contactId":"maria","name":"Ana"}'],
    ['JSON with a charset', `${json}; charset=utf-8`, '{"contactId":"maria","name":"Ana"}'],
    ['JSON with other parameters', `${json};profile="a;b";charset="UTF-8"`, '{"contactId":"maria","name":"Ana"}'],
    ['a JSON content type in capitals', 'Application/JSON', '{"contactId":"maria","name":"Ana"}'],
    ['JSON with a byte order mark', json, '\uFEFF{"contactId":"maria","name":"Ana"}'],
    ['JSON with white space around', json, '\r\n\t {"contactId":"maria","name":"Ana"}\n'],
    ['JSON with a key twice: the last counts', json, '{"contactId":"x","name":"X","contactId":"maria","name":"Ana"}'],
    ['a form', form, 'contactId=maria&name=Ana'],
    ['a form with parameters', `${form};charset=UTF-8`, 'name=Ana&contactId=maria'],
    ['a form with a key twice: the last counts', form, 'contactId=x&name=X&contactId=maria&name=Ana'],
    ['a form with escapes', form, 'contactId=%6Daria&name=An%61&emails=&wipeConflicts=true']
  ]
  for (const [situation, type, body] of scenarios) {
    const reply = await post(body, { 'content-type': type })
    t.equal(reply.statusCode, 200, situation)
    t.strictSame([reply.json().contact._id, reply.json().contact.name], ['maria', 'Ana'], situation)
    await post('{"contactId":"maria","name":"Maria"}')
  }
  const chunked = await app.inject({
    method: 'POST',
    url: path,
    headers: { ...as('ann'), 'content-type': json, 'transfer-encoding': 'chunked' },
    payload: '{"contactId":"maria","name":"Ana"}'
  })
  t.equal(chunked.json().contact.name, 'Ana', 'a body of unknown length')
})

t.test('a form: one text for each key, and brackets in a key have no meaning', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  for (const [body, reason] of [
    ['contactId=maria&emails=a%40b', 'must be array'],
    ['contactId=maria&emails[]=a%40b', 'must NOT have additional properties'],
    ['contactId=maria&customFields=%7B%7D', 'must be object'],
    ['contactId=maria&__proto__=x', 'must NOT have additional properties'],
    ['?contactId=maria', noContactId],
    ['', noContactId]
  ] as const) {
    const refused = await post(body, { 'content-type': form })
    t.strictSame([refused.statusCode, refused.json()], [400, invalid(reason)], body)
  }
  t.strictSame(await allRows(db), before)
})

t.test('an unreadable body: 400 with the reason', async (t) => {
  const { app, post, db } = await build(t)
  const scenarios: Array<[situation: string, type: string, body: string | undefined, reason: string]> = [
    ['no body, but a content type', json, undefined, noContactId],
    ['an empty body', json, '', noContactId],
    ['a body of white space', json, ' \n', noContactId],
    ['only a byte order mark', json, '\uFEFF', noContactId],
    ['half an object', json, '{"contactId":"maria"', notJson],
    ['single quotes', json, "{'contactId':'maria'}", notJson],
    ['a trailing comma', json, '{"contactId":"maria",}', notJson],
    ['two objects', json, '{"contactId":"maria"}{}', notJson],
    ['two byte order marks', json, '\uFEFF\uFEFF{"contactId":"maria"}', notJson],
    ['a form sent as JSON', json, 'contactId=maria', notJson],
    ['a hundred thousand brackets that are not closed', json, '['.repeat(100_000), notJson],
    ['JSON sent as a form', form, '{"contactId":"maria"}', noContactId],
    ['XML', 'text/xml', '<contactId>maria</contactId>', unsupported],
    ['plain text', 'text/plain', '{"contactId":"maria"}', unsupported],
    ['a multipart form', 'multipart/form-data; boundary=x', '--x--', unsupported],
    ['another kind of JSON', 'application/json-patch+json', '[]', unsupported],
    ['an invalid content type', 'json', '{"contactId":"maria"}', unsupported],
    ['an empty content type', '', '{"contactId":"maria"}', unsupported]
  ]
  const before = await allRows(db)
  for (const [situation, type, body, reason] of scenarios) {
    const reply = await post(body, { 'content-type': type })
    t.strictSame([reply.statusCode, reply.json()], [400, invalid(reason)], situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
  const reply = await app.inject({ method: 'POST', url: path, headers: as('ann') })
  t.strictSame(reply.json(), invalid(noContactId), 'neither body nor content type')
})

const defaultBodyLimit = 256 * 1024

/** A valid body of this many bytes. */
function bodyOfSize (bytes: number): string {
  const withoutName = '{"contactId":"maria","name":""}'
  return withoutName.replace('""', `"${'x'.repeat(bytes - withoutName.length)}"`)
}

t.test('a deep or a huge body that is refused: the usual answers', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  const scenarios: Array<[situation: string, body: string, status: number, error: string]> = [
    ['a deep value for a list', `{"contactId":"maria","emails":${nested(100_000)}}`, 400, 'must be string [invalid-params]'],
    ['a deep value for a custom field', `{"contactId":"maria","customFields":{"plan":${nested(100_000)}}}`, 400, 'Invalid value for Plan field'],
    ['a deep unknown key', `{"contactId":"maria","x":${nested(100_000)}}`, 400, 'must NOT have additional properties [invalid-params]'],
    ['many unknown keys', `{"contactId":"maria",${Array.from({ length: 10_000 }, (_, key) => `"k${key}":0`).join()}}`,
      400, 'must NOT have additional properties [invalid-params]'],
    ['one byte more than the limit', bodyOfSize(defaultBodyLimit + 1),
      413, 'The request body is larger than 262144 bytes [invalid-params]'],
    ['a megabyte that is not JSON', 'x'.repeat(2 ** 20), 413, 'The request body is larger than 262144 bytes [invalid-params]']
  ]
  for (const [situation, body, status, error] of scenarios) {
    const reply = await post(body)
    t.equal(reply.statusCode, status, situation)
    t.match(reply.json(), { success: false, error }, situation)
    t.equal(reply.json().errorType, error.endsWith('[invalid-params]') ? 'invalid-params' : undefined, situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
})

t.test('a body of exactly the limit: accepted', async (t) => {
  const { post } = await build(t)
  const body = bodyOfSize(defaultBodyLimit)
  t.equal(body.length, defaultBodyLimit)
  const reply = await post(body)
  t.equal(reply.statusCode, 200)
  t.equal(reply.json().contact.name, JSON.parse(body).name)
})

t.test('a body with ten thousand phones: all are stored', async (t) => {
  const { post } = await build(t)
  const phones = Array.from({ length: 10_000 }, (_, number) => String(number))
  const reply = await post(JSON.stringify({ contactId: 'maria', phones }))
  t.strictSame(reply.json().contact.phones, phones.map((phoneNumber) => ({ phoneNumber })))
})
