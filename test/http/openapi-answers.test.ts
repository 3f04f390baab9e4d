import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import type { LightMyRequestResponse } from 'fastify'
import { UpdateRefusedError } from '../../src/index.js'
import { as, build, holdMaria, path, type Setup, type World } from '../helpers/build.js'
import t from '../helpers/engines.js'

/** Parsed JSON of any shape. */
type Loose = ReturnType<typeof JSON.parse>

const ajv = new Ajv2020({ strict: false, allErrors: true })

/** The same schema, but without additional properties. */
function closed (schema: Loose): Loose {
  if (typeof schema !== 'object' || schema === null) return schema
  if (Array.isArray(schema)) return schema.map(closed)
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]))
  return 'properties' in schema ? { additionalProperties: false, ...inner } : inner
}

async function setUp (t: Parameters<typeof build>[0], { host, ...setup }: Setup = {}): Promise<World & { responses: Loose }> {
  const world = await build(t, {
    ...setup,
    host: async (app, opened) => {
      await app.register(swagger, { openapi: { info: { title: 'A host', version: '1.0.0' } } })
      await host?.(app, opened)
    }
  })
  const document = world.app.swagger() as Loose
  return { ...world, responses: document.paths[path].post.responses }
}

function validatorOf (responses: Loose, status: number): ValidateFunction {
  return ajv.compile(closed(responses[status].content['application/json'].schema))
}

t.test('the examples: each fits its schema', async (t) => {
  const { responses } = await setUp(t)
  for (const [status, response] of Object.entries<Loose>(responses)) {
    const validate = validatorOf(responses, Number(status))
    for (const [name, { value }] of Object.entries<Loose>(response.content['application/json'].examples)) {
      t.ok(validate(value), `${status} ${name}`, { errors: validate.errors })
    }
  }
})

t.test('the answers of the server: each fits the schema of its status', async (t) => {
  const world = await setUp(t, {
    bodyLimit: 400,
    lockTimeout: 1000,
    beforeCommit: ({ contact }) => { if (contact.name === 'Mallory') throw new UpdateRefusedError('error-not-mallory') }
  })
  const { db, update } = world
  const limited = await setUp(t, { host: async (app) => { await app.register(rateLimit, { max: 1 }) } })
  const ann = (more: object): Record<string, string> => ({ ...as('ann'), ...more })
  const keyed = ann({ 'idempotency-key': 'k' })
  const maria = (change: object): object => ({ contactId: 'maria', ...change })
  const inTransaction = async (): Promise<LightMyRequestResponse> => {
    await holdMaria(db)
    try {
      return await update(maria({ name: 'X' }))
    } finally {
      await db.exec('ROLLBACK')
    }
  }
  const broken = async (): Promise<LightMyRequestResponse> => {
    await db.refuseUpdates('omnichannel_room')
    const reply = await update(maria({ name: 'X' }))
    await db.allowUpdates('omnichannel_room')
    return reply
  }

  const scenarios: Array<[situation: string, status: number, ask: () => Promise<LightMyRequestResponse>]> = [
    ['a contact with everything', 200, () => update(maria({ emails: ['a@b'], phones: [], customFields: { plan: 'gold' } }))],
    ['nothing to change', 200, () => update(maria({}))],
    ['conflicts wiped, manager removed', 200, () => update(maria({ wipeConflicts: true, contactManager: '' }))],
    ['a contact with nothing', 200, () => update({ contactId: 'blank', name: 'Blank' })],
    ['a new key', 200, () => update(maria({ phones: ['1'] }), keyed)],
    ['a replay', 200, () => update(maria({ phones: ['1'] }), keyed)],
    ['the key with another body', 422, () => update(maria({ phones: ['2'] }), keyed)],
    ['an empty key', 400, () => update(maria({}), ann({ 'idempotency-key': '' }))],
    ['any version', 200, () => update(maria({}), ann({ 'if-match': '*' }))],
    ['another version', 412, () => update(maria({ name: 'X' }), ann({ 'if-match': '"1"' }))],
    ['an invalid entity tag', 400, () => update(maria({}), ann({ 'if-match': '1' }))],
    ['refused by the host', 400, () => update(maria({ name: 'Mallory' }))],
    ['no contactId', 400, () => update({})],
    ['not JSON', 400, () => world.app.inject({ method: 'POST', url: path, headers: { ...as('ann'), 'content-type': 'application/json' }, payload: '{' })],
    ['an unsupported content type', 400, () => world.app.inject({ method: 'POST', url: path, headers: { ...as('ann'), 'content-type': 'text/xml' }, payload: '<a/>' })],
    ['unknown contact', 400, () => update({ contactId: 'nobody' })],
    ['unknown manager', 400, () => update(maria({ contactManager: 'nobody' }))],
    ['required custom field', 400, () => update(maria({ customFields: {} }))],
    ['custom field that is not allowed', 400, () => update(maria({ customFields: { plan: 'gold', colour: 'red' } }))],
    ['name removed', 400, () => update(maria({ name: '' }))],
    ['no credentials', 401, () => update(maria({}), {})],
    ['no permission', 403, () => update(maria({}), as('nick'))],
    ['too large', 413, () => update(maria({ name: 'x'.repeat(500) }))],
    ['too many', 429, async () => { await limited.update(maria({})); return await limited.update(maria({})) }],
    ['an error of the database', 500, broken],
    ['a host transaction that stays open', 503, inTransaction]
  ]
  for (const [situation, status, ask] of scenarios) {
    const reply = await ask()
    t.equal(reply.statusCode, status, situation)
    const validate = validatorOf(world.responses, reply.statusCode)
    t.ok(validate(reply.json()), `${situation}: ${reply.body}`, { errors: validate.errors })
    for (const [name, { schema }] of Object.entries<Loose>(world.responses[status].headers ?? {})) {
      const header = reply.headers[name.toLowerCase()]
      if (name === 'Idempotency-Replayed') t.equal(header !== undefined, situation === 'a replay', situation)
      if (header !== undefined || name !== 'Idempotency-Replayed') t.ok(ajv.validate(schema, String(header)), `${situation}: ${name}`)
    }
  }
  t.strictSame(
    [...new Set(scenarios.map(([, status]) => String(status)))].sort(), Object.keys(world.responses), 'every documented status was seen')
})
