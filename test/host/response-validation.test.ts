import responseValidation from '@fastify/response-validation'
import { Ajv, type ValidateFunction } from 'ajv'
import type { RouteOptions } from 'fastify'
import t from '../engines.js'
import { as, build } from '../build.js'

// A host that validates every answer, with a strict Ajv that knows no formats.

type Responses = Record<string, { content: Record<string, { schema: object }> }>

t.test('a host with @fastify/response-validation: starts, and each answer fits its schema', async (t) => {
  const validators = new Map<number, ValidateFunction>()
  const { update } = await build(t, {
    host: async (app) => {
      await app.register(responseValidation, { responseStatusCodeValidation: true })
      app.addHook('onRoute', ({ schema }: RouteOptions) => {
        for (const [status, { content }] of Object.entries(schema!.response as Responses)) {
          // As the plugin makes it.
          validators.set(Number(status), new Ajv({ allErrors: true }).compile(content['application/json']!.schema))
        }
      })
    }
  })
  const scenarios: Array<[situation: string, status: number, body: object, headers?: Record<string, string>]> = [
    ['a contact with everything', 200, { contactId: 'maria', name: 'Ana', customFields: { plan: 'gold' } }],
    ['a contact with nothing', 200, { contactId: 'blank' }],
    ['a wrong shape', 400, {}],
    ['an unknown contact', 400, { contactId: 'nobody' }],
    ['a stranger', 401, {}, {}],
    ['without the permission', 403, {}, as('nick')],
    ['another version', 412, { contactId: 'maria' }, { ...as('ann'), 'if-match': '"99"' }]
  ]
  for (const [situation, status, body, headers] of scenarios) {
    const reply = await update(body, headers)
    t.equal(reply.statusCode, status, situation)
    const validate = validators.get(status)!
    t.ok(validate(reply.json()), `${situation}: ${reply.body}`, { errors: validate.errors })
    t.notOk(validate({ ...reply.json(), success: 'yes' }), `${situation}: what is wrong is found`)
  }
  const contact = (await update({ contactId: 'maria' })).json().contact
  for (const time of ['2026-01-01', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00.000+01:00', '2026-01-01T00:00:00.000Z\n', 5]) {
    t.notOk(validators.get(200)!({ contact: { ...contact, createdAt: time }, success: true }), `a time that is ${JSON.stringify(time)}`)
  }
})
