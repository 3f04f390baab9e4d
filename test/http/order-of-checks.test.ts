// docs/contract.md, section 2: the order of the checks.

import { allRows, as, build, path } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { forbidden, unauthorized } from '../helpers/refusals.js'

t.test('a caller without access: 401 or 403, whatever the body is', async (t) => {
  const { post, db } = await build(t, { bodyLimit: 300 })
  const unknownCaller = { 'x-user-id': 'who', 'x-auth-token': 'wrong' }
  const bodies: Record<string, [text: string | Buffer | undefined, type?: string]> = {
    'a body that is not UTF-8': [Buffer.from([0xf6])],
    'half a JSON object': ['{"contactId":'],
    'no body': [undefined],
    'a huge body': ['x'.repeat(100_000)],
    'an unsupported content type': ['<a/>', 'text/xml'],
    'a wrong shape': ['{"unknown":1}'],
    'an unknown contact': ['{"contactId":"nobody"}'],
    'a good body': ['{"contactId":"maria","name":"Mallory"}']
  }
  const before = await allRows(db)
  for (const [situation, [text, type = 'application/json']] of Object.entries(bodies)) {
    const replyToUnknown = await post(text, { ...unknownCaller, 'content-type': type })
    t.strictSame([replyToUnknown.statusCode, replyToUnknown.json()], [401, unauthorized], `${situation} of an unknown caller`)

    const replyToNick = await post(text, { ...as('nick'), 'content-type': type })
    t.strictSame([replyToNick.statusCode, replyToNick.json()], [403, forbidden], `${situation} without the permission`)
  }
  t.strictSame(await allRows(db), before)
})

t.test('a caller without access: the body is never parsed', async (t) => {
  const parse = JSON.parse
  t.teardown(() => { JSON.parse = parse })
  const { post } = await build(t)
  let parsed = 0
  JSON.parse = (...input: Parameters<typeof JSON.parse>) => {
    parsed++
    return parse(...input)
  }
  const body = '{"contactId":"maria"}'
  t.equal((await post(body, { 'x-auth-token': 'wrong' })).statusCode, 401)
  t.equal((await post(body, as('nick'))).statusCode, 403)
  t.equal(parsed, 0)
  t.equal((await post(body)).statusCode, 200)
  t.ok(parsed > 0, 'the body of a known caller is parsed')
})

t.test('a rate limit of the host: 429 before the body is read', async (t) => {
  const { app, db } = await build(t, {
    host: (app) => {
      app.addHook('onRequest', async (_request, reply) => {
        void reply.header('retry-after', '9')
        throw Object.assign(new Error('slow down'), { statusCode: 429 })
      })
    }
  })
  const before = await allRows(db)
  for (const headers of [{}, as('nick'), as('ann')]) {
    const reply = await app.inject({
      method: 'POST', url: path, headers: { 'content-type': 'application/json', ...headers }, payload: '{'
    })
    t.equal(reply.statusCode, 429)
  }
  t.strictSame(await allRows(db), before)
})

t.test('a body with several errors: shape, contact, manager, custom fields, rename, in this order', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  const allErrors = { name: '', contactManager: 'nobody', customFields: { plan: 'iron', colour: 'red' } }
  const scenarios: Array<[situation: string, body: object, error: string]> = [
    ['shape', { ...allErrors, contactId: 'nobody', x: 1 }, 'must NOT have additional properties [invalid-params]'],
    ['contact', { ...allErrors, contactId: 'nobody' }, 'error-contact-not-found'],
    ['manager', { ...allErrors, contactId: 'maria' }, 'error-contact-manager-not-found'],
    ['value of a custom field', { ...allErrors, contactId: 'maria', contactManager: 'ann' }, 'Invalid value for Plan field'],
    ['custom field that is not allowed', { contactId: 'maria', name: '', customFields: { colour: 'red', plan: 'gold' } },
      'Custom field colour is not allowed'],
    ['rename', { contactId: 'maria', name: '', customFields: { plan: 'silver' }, emails: [], wipeConflicts: true }, 'error-invalid-operation']
  ]
  for (const [situation, body, error] of scenarios) {
    const reply = await update(body)
    t.equal(reply.statusCode, 400, situation)
    t.equal(reply.json().error, error, situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
})

t.test('a caller without access: an onRequest hook of the host, such as a rate limit, runs before the refusal', async (t) => {
  let counted = 0
  const { update } = await build(t, { host: (app) => { app.addHook('onRequest', async () => { counted++ }) } })
  t.equal((await update({ contactId: 'maria' }, {})).statusCode, 401)
  t.equal((await update({ contactId: 'maria' }, as('nick'))).statusCode, 403)
  t.equal(counted, 2)
})
