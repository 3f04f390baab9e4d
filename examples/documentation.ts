// A documentation page on which the endpoint can be tried out: @fastify/swagger makes the OpenAPI document, @fastify/swagger-ui
// shows it, and @fastify/helmet lets the page load nothing from elsewhere. What the page fills in is what is in the database here.
//
// In an empty folder, saved as documentation.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @fastify/helmet @fastify/swagger @fastify/swagger-ui
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx documentation.ts
//
// The same document, alone, is the package's openapi.json. Types for a client come from either:
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
  // Without upgrade-insecure-requests, by which Safari asks for https where there is none. Behind TLS leave it in.
  await app.register(helmet, { contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } } })
  // Both before the plugin: a document holds the routes that come after.
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'Desk', version: '1.0.0' } } })
  await app.register(swaggerUi, {
    routePrefix: '/documentation',
    theme: { title: 'Desk' },
    logo: { type: 'image/svg+xml', content: Buffer.from(logo), href: '/documentation', target: '_self' }
  })
  await app.register(omnichannelContacts, { database })
  return app
}

/** What the examples of the document name. */
export function addDemo (database: Database.Database): void {
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
  addDemo(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Open ${address}/documentation and try it out as ann with the token s3cret, or look at the document:
  curl '${address}/documentation/json'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
