// Callers with a JSON web token. @fastify/jwt verifies it, `authenticate` returns its user, and `authorize` reads one of its claims.
// No token and no role is stored here: your login service issues tokens with the same secret.
//
// In an empty folder, saved as jwt.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @fastify/jwt
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx jwt.ts

import jwt from '@fastify/jwt'
import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts from 'fastify-omnichannel-contacts'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'

interface Claims { sub: string, permissions: string[] }

export async function buildApp (database: Database.Database, secret: string, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  await app.register(jwt, { secret, verify: { requiredClaims: ['sub', 'permissions', 'exp'] } })
  await app.register(omnichannelContacts, {
    database,
    // The errors of jwtVerify have the status 401, which is then the answer.
    authenticate: async (request) => ({ id: (await request.jwtVerify<Claims>()).sub }),
    // Without `authorize`, the plugin looks up the user's roles in the database or in your view (own-users.ts).
    authorize: (_user, permission, request) => (request.user as Claims).permissions.includes(permission)
  })
  return app
}

export function addDemoData (database: Database.Database): void {
  database.exec("INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
}

async function serve (): Promise<void> {
  const database = new Database('jwt.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, process.env.JWT_SECRET ?? randomBytes(32).toString('base64'), true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  const token = app.jwt.sign({ sub: 'ann', permissions: ['update-livechat-contact'] }, { expiresIn: '1h' })
  console.log(`Rename Maria as ann, who is logged in for an hour:
  curl -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
