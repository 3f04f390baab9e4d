// A documentation page on which you can try the endpoint. @fastify/swagger makes the OpenAPI document, @fastify/swagger-ui shows it, and
// @fastify/helmet forbids the page to load anything from other origins. The example requests of the document update a contact that is
// in the database.
//
// In an empty folder, saved as documentation.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @fastify/helmet @fastify/swagger @fastify/swagger-ui
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx documentation.ts
//
// The package contains the same document as openapi.json. Make types for a client from either of them:
//   npx openapi-typescript http://localhost:3000/documentation/json -o contacts-api.ts

import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { fileURLToPath } from 'node:url'

const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40" viewBox="0 0 120 40">
<text y="27" font-family="sans-serif" font-size="22" font-weight="bold" fill="#fff">Desk</text>
</svg>`

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  // Without upgrade-insecure-requests: with it, Safari asks for https, which this server does not have. Behind TLS keep it.
  await app.register(helmet, { contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } } })
  // Register these two before the plugin, because the document has only routes that are registered later.
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'Desk', version: '1.0.0' } } })
  await app.register(swaggerUi, {
    routePrefix: '/documentation',
    theme: { title: 'Desk' },
    logo: { type: 'image/svg+xml', content: Buffer.from(logo), href: '/documentation', target: '_self' }
  })
  await app.register(omnichannelContacts, { database })
  return app
}

/** Adds the user and the contact of the example requests. */
export function addDemoData (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_custom_field (id, label) VALUES ('plan', 'Plan');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('documentation.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Open ${address}/documentation and try it as ann with the token s3cret. The document itself:
  curl '${address}/documentation/json'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
