// A host that validates every answer, with a strict Ajv that knows no formats.

import responseValidation from '@fastify/response-validation'
import { Ajv, type AnySchema } from 'ajv'
import type { RouteOptions } from 'fastify'
import { as, type Setup } from '../helpers/build.js'
import t from '../helpers/engines.js'
import { observe } from '../helpers/observed.js'

type Schema = Record<string, unknown> & { properties: Record<string, object> }
type Responses = Record<string, { content: Record<string, { schema: Schema }> }>

/** @param spoil changes the schemas of the answers before they are compiled */
function validating (spoil?: (schema: Schema) => void): Setup {
  return {
    host: async (app) => {
      app.addHook('onRoute', (route: RouteOptions) => {
        // A copy, because all hosts of this process share the schemas.
        const response = structuredClone(route.schema!.response) as Responses
        for (const { content } of Object.values(response)) spoil?.(content['application/json']!.schema)
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
  const { update, complaints } = await observe(t, validating())
  for (const [situation, status, body, headers] of scenarios) {
    t.equal((await update(body, headers)).statusCode, status, situation)
  }
  t.strictSame(complaints(), [])
})

t.test('a host whose schema fits no answer: each failure is logged, and the answer is sent unchanged', async (t) => {
  const expected = await observe(t)
  const { update, lines } = await observe(t, validating(({ properties }) => { properties.success = { const: 'yes' } }))
  for (const [situation, status, body, headers] of scenarios) {
    const reply = await update(body, headers)
    const other = await expected.update(body, headers)
    const withoutTime = (text: string): string => text.replace(/"_updatedAt":"[^"]*"/, '')
    t.strictSame([reply.statusCode, withoutTime(reply.body)], [status, withoutTime(other.body)], situation)
    t.strictSame([reply.headers.etag, reply.headers['content-type']], [other.headers.etag, 'application/json'], situation)
    t.match(lines.at(-2), { level: 50, msg: 'a preSerialization hook failed', err: { message: /response\/success must be equal to constant/ } }, situation)
    lines.length = 0
  }
})

t.test('times in the schema: ISO 8601 in UTC with milliseconds only', async (t) => {
  let schema: AnySchema = {}
  const { update } = await observe(t, validating((each) => { if ('contact' in each.properties) schema = each }))
  const validate = new Ajv({ allErrors: true }).compile(schema)
  const { contact } = (await update({ contactId: 'maria' })).json()
  t.ok(validate({ contact, success: true }))
  for (const time of ['2026-01-01', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00.000+01:00', '2026-01-01T00:00:00.000Z\n', 5]) {
    t.notOk(validate({ contact: { ...contact, createdAt: time }, success: true }), `a time that is ${JSON.stringify(time)}`)
  }
})
