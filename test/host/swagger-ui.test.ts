import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import t from 'tap'
import { build, path } from '../helpers/test-server.js'

t.test('@fastify/swagger with its UI: the page and the document are served', async (t) => {
  const { app, update } = await build(t, {
    host: async (app) => {
      await app.register(helmet)
      await app.register(swagger, { openapi: { info: { title: 'Desk', version: '1.0.0' } } })
      await app.register(swaggerUi, { routePrefix: '/documentation' })
    }
  })
  const page = await app.inject('/documentation/')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.match(page.body, /swagger-ui/)
  const document = await app.inject('/documentation/json')
  t.match(document.json().paths[path].post, { operationId: 'updateContact', summary: /\w/ })
  t.match((await app.inject('/documentation/yaml')).body, 'operationId: updateContact')
  t.equal((await update({ contactId: 'maria', name: 'Maria B.' })).statusCode, 200)
})

t.test('a security scheme of the host: is required in the document, and the route works', async (t) => {
  const { app, update } = await build(t, {
    authenticate: () => ({ id: 'ann' }),
    host: async (app) => {
      await app.register(swagger, {
        openapi: {
          info: { title: 'Desk', version: '1.0.0' },
          components: { securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'session' } } },
          security: [{ session: [] }]
        }
      })
    }
  })
  t.strictSame(JSON.parse(JSON.stringify(app.swagger())).security, [{ session: [] }])
  t.equal((await update({ contactId: 'maria', name: 'Maria B.' }, {})).statusCode, 200)
})

t.test('a security scheme of the host with the headers of the credentials: the operation has no parameters for them', async (t) => {
  const { app } = await build(t, {
    host: async (app) => {
      await app.register(swagger, {
        openapi: {
          components: {
            securitySchemes: {
              user: { type: 'apiKey', in: 'header', name: 'X-User-Id' },
              token: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' }
            }
          },
          security: [{ user: [], token: [] }]
        }
      })
    }
  })
  const { parameters } = JSON.parse(JSON.stringify(app.swagger())).paths[path].post
  t.strictSame(parameters.map(({ name }: { name: string }) => name), ['If-Match', 'Idempotency-Key'])
})
