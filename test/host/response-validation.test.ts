// A host that validates every answer with @fastify/response-validation. Its Ajv is strict and knows no formats.

import responseValidation from '@fastify/response-validation'
import { Ajv, type AnySchema } from 'ajv'
import type { RouteOptions } from 'fastify'
import { as, type Setup } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { observe } from '../helpers/observed-server.js'

type Schema = Record<string, unknown> & { properties: Record<string, object> }
type Responses = Record<string, { content: Record<string, { schema: Schema }> }>

/** @param changeSchema is called with the schema of each answer before it is compiled */
function withValidation (changeSchema?: (schema: Schema) => void): Setup {
  return {
    host: async (app) => {
      app.addHook('onRoute', (route: RouteOptions) => {
        // A copy, because all hosts of this process share the schemas.
        const response = structuredClone(route.schema!.response) as Responses
        for (const { content } of Object.values(response)) changeSchema?.(content['application/json']!.schema)
        route.schema = { ...route.schema, response }
      })
      await app.register(responseValidation, { responseStatusCodeValidation: true })
    }
  }
}

const scenarios: Array<[situation: string, status: number, body: object, headers?: Record<string, string>]> = [
  ['a contact with everything', 200, { contactId: 'maria', name: 'Ana', customFields: { plan: 'gold' } }],
  ['a contact with nothing', 200, { contactId: 'blank' }],
  ['a wrong shape', 400, {}],
  ['an unknown contact', 400, { contactId: 'nobody' }],
  ['no credentials', 401, {}, {}],
  ['without the permission', 403, {}, as('nick')],
  ['another version', 412, { contactId: 'maria' }, { ...as('ann'), 'if-match': '"99"' }]
]

t.test('a host with @fastify/response-validation: each answer passes', async (t) => {
  const { update, warningTexts } = await observe(t, withValidation())
  for (const [situation, status, body, headers] of scenarios) {
    t.equal((await update(body, headers)).statusCode, status, situation)
  }
  t.strictSame(warningTexts(), [])
})

t.test('a host whose schema fits no answer: each failure is logged, and the answer is sent unchanged', async (t) => {
  const { update: updateWithoutValidation } = await observe(t)
  const { update, warnings, lines } = await observe(t, withValidation(({ properties }) => { properties.success = { const: 'yes' } }))
  const withoutTime = (text: string): string => text.replace(/"_updatedAt":"[^"]*"/, '')
  for (const [situation, status, body, headers] of scenarios) {
    lines.length = 0
    const reply = await update(body, headers)
    const expected = await updateWithoutValidation(body, headers)
    t.strictSame([reply.statusCode, withoutTime(reply.body)], [status, withoutTime(expected.body)], situation)
    t.strictSame([reply.headers.etag, reply.headers['content-type']], [expected.headers.etag, 'application/json'], situation)
    t.match(warnings(), [
      { level: 50, msg: 'a preSerialization hook failed', err: { message: /response\/success must be equal to constant/ } }
    ], situation)
  }
})

t.test('a time in the schema of an answer: must be ISO 8601 in UTC with milliseconds', async (t) => {
  let schema: AnySchema = {}
  const { update } = await observe(t, withValidation((each) => { if ('contact' in each.properties) schema = each }))
  const validate = new Ajv({ allErrors: true }).compile(schema)
  const { contact } = (await update({ contactId: 'maria' })).json()
  t.ok(validate({ contact, success: true }))
  for (const time of ['2026-01-01', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00.000+01:00', '2026-01-01T00:00:00.000Z\n', 5]) {
    t.notOk(validate({ contact: { ...contact, createdAt: time }, success: true }), `a time that is ${JSON.stringify(time)}`)
  }
})
