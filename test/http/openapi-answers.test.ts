import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { UpdateRefusedError } from '../../src/index.js'
import { as, build, lockMaria, path, type Setup, type TestServer } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

/** Parsed JSON: `any`. */
type Json = ReturnType<typeof JSON.parse>

const ajv = new Ajv2020({ strict: false, allErrors: true })

/** A copy of a schema that allows no undocumented properties. */
function withoutAdditionalProperties (schema: Json): Json {
  if (typeof schema !== 'object' || schema === null) return schema
  if (Array.isArray(schema)) return schema.map(withoutAdditionalProperties)
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withoutAdditionalProperties(value)]))
  return 'properties' in schema ? { additionalProperties: false, ...copy } : copy
}

/** A server, with the responses of the OpenAPI document. */
async function setUp (t: Test, { host, ...setup }: Setup = {}): Promise<TestServer & { responses: Json }> {
  const testServer = await build(t, {
    ...setup,
    host: async (app, opened) => {
      await app.register(swagger, { openapi: { info: { title: 'A host', version: '1.0.0' } } })
      await host?.(app, opened)
    }
  })
  const document = testServer.app.swagger() as Json
  return { ...testServer, responses: document.paths[path].post.responses }
}

function validatorOf (responses: Json, status: number): ValidateFunction {
  return ajv.compile(withoutAdditionalProperties(responses[status].content['application/json'].schema))
}

t.test('the examples of the document: each fits its schema', async (t) => {
  const { responses } = await setUp(t)
  for (const [status, response] of Object.entries<Json>(responses)) {
    const validate = validatorOf(responses, Number(status))
    for (const [name, { value }] of Object.entries<Json>(response.content['application/json'].examples)) {
      t.ok(validate(value), `${status} ${name}`, { errors: validate.errors })
    }
  }
})

t.test('the answers of the server: each fits the schema of its status', async (t) => {
  const testServer = await setUp(t, {
    bodyLimit: 400,
    lockTimeout: 1000,
    beforeCommit: ({ contact }) => { if (contact.name === 'Mallory') throw new UpdateRefusedError('error-not-mallory') }
  })
  const { db, update, post } = testServer
  const withHeaders = (headers: object): Record<string, string> => ({ ...as('ann'), ...headers })
  const withKey = withHeaders({ 'idempotency-key': 'k' })
  const maria = (changes: object): object => ({ contactId: 'maria', ...changes })
  const updateLockedContact = async (): Promise<LightMyRequestResponse> => {
    await lockMaria(db)
    try {
      return await update(maria({ name: 'X' }))
    } finally {
      await db.exec('ROLLBACK')
    }
  }
  const updateWithFailingTrigger = async (): Promise<LightMyRequestResponse> => {
    await db.refuseUpdates('omnichannel_room')
    const reply = await update(maria({ name: 'X' }))
    await db.allowUpdates('omnichannel_room')
    return reply
  }
  const exceedRateLimit = async (): Promise<LightMyRequestResponse> => {
    const limited = await setUp(t, { host: async (app) => { await app.register(rateLimit, { max: 1 }) } })
    await limited.update(maria({}))
    return await limited.update(maria({}))
  }

  const replay = 'a replay'
  const scenarios: Array<[situation: string, status: number, send: () => Promise<LightMyRequestResponse>]> = [
    ['a contact with everything', 200, () => update(maria({ emails: ['a@b'], phones: [], customFields: { plan: 'gold' } }))],
    ['nothing to change', 200, () => update(maria({}))],
    ['conflicts wiped, manager removed', 200, () => update(maria({ wipeConflicts: true, contactManager: '' }))],
    ['a contact with nothing', 200, () => update({ contactId: 'blank', name: 'Blank' })],
    ['a new key', 200, () => update(maria({ phones: ['1'] }), withKey)],
    [replay, 200, () => update(maria({ phones: ['1'] }), withKey)],
    ['the key with another body', 422, () => update(maria({ phones: ['2'] }), withKey)],
    ['an empty key', 400, () => update(maria({}), withHeaders({ 'idempotency-key': '' }))],
    ['any version', 200, () => update(maria({}), withHeaders({ 'if-match': '*' }))],
    ['another version', 412, () => update(maria({ name: 'X' }), withHeaders({ 'if-match': '"1"' }))],
    ['an invalid entity tag', 400, () => update(maria({}), withHeaders({ 'if-match': '1' }))],
    ['refused by the host', 400, () => update(maria({ name: 'Mallory' }))],
    ['no contactId', 400, () => update({})],
    ['not JSON', 400, () => post('{')],
    ['an unsupported content type', 400, () => post('<a/>', { 'content-type': 'text/xml' })],
    ['unknown contact', 400, () => update({ contactId: 'nobody' })],
    ['unknown manager', 400, () => update(maria({ contactManager: 'nobody' }))],
    ['required custom field', 400, () => update(maria({ customFields: {} }))],
    ['custom field that is not allowed', 400, () => update(maria({ customFields: { plan: 'gold', colour: 'red' } }))],
    ['name removed', 400, () => update(maria({ name: '' }))],
    ['no credentials', 401, () => update(maria({}), {})],
    ['no permission', 403, () => update(maria({}), as('nick'))],
    ['too large', 413, () => update(maria({ name: 'x'.repeat(500) }))],
    ['too many requests', 429, exceedRateLimit],
    ['an error of the database', 500, updateWithFailingTrigger],
    ['a host transaction that stays open', 503, updateLockedContact]
  ]
  for (const [situation, status, send] of scenarios) {
    const reply = await send()
    t.equal(reply.statusCode, status, situation)
    const validate = validatorOf(testServer.responses, reply.statusCode)
    t.ok(validate(reply.json()), `${situation}: ${reply.body}`, { errors: validate.errors })
    for (const [name, { schema }] of Object.entries<Json>(testServer.responses[status].headers ?? {})) {
      const header = reply.headers[name.toLowerCase()]
      // Only a replay has this header. All other headers are on every answer with their status.
      if (name === 'Idempotency-Replayed' && situation !== replay) t.equal(header, undefined, situation)
      else t.ok(ajv.validate(schema, String(header)), `${situation}: ${name}`)
    }
  }
  const statuses = new Set(scenarios.map(([, status]) => String(status)))
  t.strictSame([...statuses].sort(), Object.keys(testServer.responses), 'every documented status was seen')
})
