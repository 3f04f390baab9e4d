import { createConfig, lintFromString } from '@redocly/openapi-core'
import { Validator } from '@seriousme/openapi-schema-validator'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { openapiJson } from '../../scripts/write-openapi.js'
import { path } from '../helpers/test-server.js'

const source = readFileSync('openapi.json', 'utf8')
const document = JSON.parse(source)

t.test('openapi.json: is what npm run write-openapi writes', async (t) => {
  t.equal(source, await openapiJson())
})

t.test('openapi.json: is OpenAPI 3.1, and Redocly finds no error in it', async (t) => {
  t.match(document.openapi, /^3\.1\./)
  t.match(await new Validator().validate(structuredClone(document)), { valid: true })
  const config = await createConfig({ extends: ['recommended'] })
  t.strictSame(await lintFromString({ source, absoluteRef: 'openapi.json', config }), [])
})

t.test('openapi.json: all schemas have names, and are used by a reference', async (t) => {
  const { schemas } = document.components
  t.strictSame(Object.keys(schemas).sort(), ['Contact', 'ContactChannel', 'ErrorReply', 'UpdateContactBody', 'UpdateContactReply'])
  const refTo = (name: string): object => ({ $ref: `#/components/schemas/${name}` })
  t.strictSame(schemas.UpdateContactReply.properties.contact, refTo('Contact'))
  t.strictSame(schemas.Contact.properties.channels.items, refTo('ContactChannel'))
  const { requestBody, responses } = document.paths[path].post
  t.strictSame(requestBody.content['application/json'].schema, refTo('UpdateContactBody'))
  for (const [status, { content }] of Object.entries<ReturnType<typeof JSON.parse>>(responses)) {
    t.strictSame(content['application/json'].schema, refTo(status === '200' ? 'UpdateContactReply' : 'ErrorReply'), status)
  }
  t.strictSame(schemas.UpdateContactBody.properties.emails.type, ['array', 'null'])
  t.notMatch(source, 'nullable')
})

t.test('openapi.json: servers and security are not in the operation, so that users can replace them in one place', async (t) => {
  t.match(document.servers, [{ url: 'http://127.0.0.1:3000', description: /\w/ }])
  t.strictSame(document.security, [{ userId: [], authToken: [] }])
  t.match(document.components.securitySchemes, {
    userId: { type: 'apiKey', in: 'header', name: 'X-User-Id' }, authToken: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' }
  })
  const operation = document.paths[path].post
  t.equal(operation.operationId, 'updateContact')
  t.equal(operation.security, undefined)
  t.strictSame(operation.parameters.map(({ name }: { name: string }) => name), ['If-Match', 'Idempotency-Key'])
})
