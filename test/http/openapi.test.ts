import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import omnichannelContacts from '../../src/index.js'
import { build, path, type Setup } from '../helpers/test-server.js'

/** Parsed JSON: `any`. */
type Json = ReturnType<typeof JSON.parse>

/** The parameters for the optional headers. */
const preconditions = [
  { in: 'header', name: 'If-Match', required: false, schema: { type: 'string' }, description: /for example "7"/ },
  { in: 'header', name: 'Idempotency-Key', required: false, schema: { type: 'string' }, description: /for example [\w-]+\./ }
]
/** The documented headers, by status. */
const headersByStatus: Record<string, string[]> = {
  200: ['ETag', 'Idempotency-Replayed'], 412: ['ETag'], 429: ['Retry-After'], 503: ['Retry-After']
}

const info = { title: 'A host', version: '1.0.0' }

async function documentOf (t: Test, version: string, setup: Setup = {}): Promise<Json> {
  const host: Setup['host'] = async (app) => { await app.register(swagger, { openapi: { openapi: version, info } }) }
  const { app } = await build(t, { ...setup, host })
  return app.swagger()
}

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`OpenAPI ${version}: the document is valid, and has one operation, without security`, async (t) => {
    const document = await documentOf(t, version)
    t.match(await new Validator().validate(structuredClone(document)), { valid: true })
    t.strictSame(Object.keys(document.paths), [path])
    t.notOk(document.components.securitySchemes)
    const operation = document.paths[path].post
    t.notOk(operation.security)
    t.match(operation, { operationId: 'updateContact', summary: /\w/, description: /\w/, tags: ['Omnichannel'] })
  })

  t.test(`OpenAPI ${version}: the parameters are four headers`, async (t) => {
    const { parameters } = (await documentOf(t, version)).paths[path].post
    t.match(parameters, [
      { in: 'header', name: 'X-User-Id', required: true, schema: { type: 'string' }, description: /\w/ },
      { in: 'header', name: 'X-Auth-Token', required: true, schema: { type: 'string' }, description: /\w/ },
      ...preconditions
    ])
    t.equal(parameters.length, 4)
  })

  t.test(`OpenAPI ${version}: the body has an example and a schema with all keys`, async (t) => {
    const { requestBody, description } = (await documentOf(t, version)).paths[path].post
    t.strictSame(Object.keys(requestBody.content), ['application/json'])
    t.match(description, 'application/x-www-form-urlencoded', 'a form is described in words')
    const { schema, examples } = requestBody.content['application/json']
    t.ok(Object.keys(examples).length > 0)
    t.strictSame(schema.required, ['contactId'])
    t.equal(schema.additionalProperties, false)
    const nullable = (type: string): object => version === '3.0.3' ? { type, nullable: true } : { type: [type, 'null'] }
    const expected: Record<string, object> = {
      contactId: { type: 'string' },
      name: { type: 'string' },
      emails: { ...nullable('array'), uniqueItems: true, items: { type: 'string' } },
      phones: { ...nullable('array'), uniqueItems: true, items: { type: 'string' } },
      customFields: nullable('object'),
      contactManager: nullable('string'),
      wipeConflicts: nullable('boolean')
    }
    t.strictSame(Object.keys(schema.properties), Object.keys(expected))
    for (const [name, property] of Object.entries(expected)) {
      t.match(schema.properties[name], { ...property, description: /\w/ }, name)
    }
    for (const name of ['contactId', 'name']) t.notOk('nullable' in schema.properties[name], `${name} is not nullable`)
  })

  t.test(`OpenAPI ${version}: each response has a description, an example and its headers`, async (t) => {
    const { responses } = (await documentOf(t, version)).paths[path].post
    t.strictSame(Object.keys(responses), ['200', '400', '401', '403', '412', '413', '422', '429', '500', '503'])
    for (const [status, response] of Object.entries<Json>(responses)) {
      t.match(response.description, /\w/, status)
      t.strictSame(Object.keys(response.content), ['application/json'])
      t.ok(Object.keys(response.content['application/json'].examples).length > 0, `${status} has an example`)
      t.strictSame(Object.keys(response.headers ?? {}), headersByStatus[status] ?? [], `${status}: headers`)
      for (const header of Object.values<Json>(response.headers ?? {})) t.match(header, { description: /\w/, schema: { type: 'string' } })
    }
  })
}

t.test('several registrations: each has an operation with an id of its own', async (t) => {
  const { database } = await build(t)
  const host = fastify()
  t.teardown(async () => { await host.close() })
  await host.register(swagger, { openapi: { info } })
  await host.register(omnichannelContacts, { database })
  for (const prefix of ['/a-b', '/a_b', '/a.b', '/:team/api', '/slash/', '']) await host.register(omnichannelContacts, { database, prefix })
  await host.register(async (inner) => { await inner.register(omnichannelContacts, { database, prefix: '/b' }) }, { prefix: '/a' })
  await host.ready()
  const document = host.swagger() as Json
  t.match(await new Validator().validate(structuredClone(document)), { valid: true })
  t.strictSame(
    Object.entries<Json>(document.paths).map(([url, { post }]) => [url, post.operationId]),
    [
      [path, 'updateContact'],
      ['/a-b/omnichannel/contacts.update', 'updateContact_a-b'],
      ['/a_b/omnichannel/contacts.update', 'updateContact_a~5fb'],
      ['/a.b/omnichannel/contacts.update', 'updateContact_a~2eb'],
      ['/{team}/api/omnichannel/contacts.update', 'updateContact_~3ateam_api'],
      ['/slash/omnichannel/contacts.update', 'updateContact_slash'],
      ['/omnichannel/contacts.update', 'updateContact_'],
      ['/a/b/omnichannel/contacts.update', 'updateContact_a_b']
    ]
  )
})

t.test("schemas of the host with the names of the plugin's schemas: stay as they are", async (t) => {
  const schemaWith = (property: string): object => ({ type: 'object', properties: { [property]: { type: 'string' } } })
  const { app } = await build(t, {
    host: async (app) => {
      await app.register(swagger, {
        openapi: { info, components: { schemas: { Contact: schemaWith('declared') as Record<string, never> } } },
        refResolver: { buildLocalReference: ({ $id }) => $id as string }
      })
      app.addSchema({ $id: 'ErrorReply', ...schemaWith('added') })
      app.get('/own', { schema: { response: { 200: { $ref: 'ErrorReply#' } } } }, async () => ({}))
    }
  })
  const { components, paths } = app.swagger() as Json
  t.strictSame(Object.keys(components.schemas).sort(), ['Contact', 'ErrorReply'])
  t.match(components.schemas, { Contact: schemaWith('declared'), ErrorReply: schemaWith('added') })
  t.strictSame(paths['/own'].get.responses[200].content['application/json'].schema, { $ref: '#/components/schemas/ErrorReply' })
  t.notMatch(JSON.stringify(paths[path]), '$ref')
})

t.test('a host with its own authenticate: no parameters for credentials', async (t) => {
  const document = await documentOf(t, '3.0.3', { authenticate: () => ({ id: 'ann' }) })
  t.match(document.paths[path].post.parameters, preconditions)
  t.equal(document.paths[path].post.parameters.length, 2)
})
