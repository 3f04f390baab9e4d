// A server with its own users and sessions. The plugin reads the users through views, and `authenticate` finds the caller by the
// session. So users log in once, and nothing is copied. For your own conversations, see views.ts.
//
// In an empty folder, saved as own-users.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx own-users.ts

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts from 'fastify-omnichannel-contacts'
import { createHash, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const ownTables = `
  CREATE TABLE IF NOT EXISTS account (login TEXT PRIMARY KEY, salt BLOB, password BLOB, is_agent INTEGER, is_locked INTEGER DEFAULT 0);
  CREATE TABLE IF NOT EXISTS session (hashed_id TEXT PRIMARY KEY, login TEXT, expires INTEGER);
`

// A view has the name and all columns of the table that it replaces. Use constants for columns that you do not have.
const views = `
  CREATE VIEW IF NOT EXISTS omnichannel_user AS
    SELECT login AS id, login AS username, login AS name, NOT is_locked AS active FROM account;
  CREATE VIEW IF NOT EXISTS omnichannel_user_role AS
    SELECT login AS user_id, 'livechat-agent' AS role FROM account WHERE is_agent;
`

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  database.exec(ownTables)
  database.exec(views)
  const findAccount = database.prepare<[string], { salt: Buffer, password: Buffer }>(
    'SELECT salt, password FROM account WHERE login = ?')
  const addSession = database.prepare('INSERT INTO session (hashed_id, login, expires) VALUES (?, ?, ?)')
  const findCaller = database.prepare<[string, number], { id: string }>(
    'SELECT login AS id FROM session JOIN account USING (login) WHERE hashed_id = ? AND expires > ? AND NOT is_locked')

  const app = fastify({ logger })

  app.post<{ Body: { login: string, password: string } }>('/login', {
    schema: {
      body: {
        type: 'object',
        required: ['login', 'password'],
        properties: { login: { type: 'string' }, password: { type: 'string' } }
      }
    }
  }, async ({ body }, reply) => {
    const account = findAccount.get(body.login)
    if (account === undefined || !timingSafeEqual(account.password, hashPassword(body.password, account.salt))) {
      return await reply.code(401).send({ error: 'Login or password is wrong' })
    }
    const id = randomBytes(32).toString('base64url')
    addSession.run(hashSession(id), body.login, Date.now() + 8 * 3600_000)
    // SameSite: the route accepts HTML forms, so another site could send one with the cookie. Behind TLS add Secure.
    return await reply.header('set-cookie', `session=${id}; HttpOnly; SameSite=Strict; Path=/`).send({ login: body.login })
  })

  await app.register(omnichannelContacts, {
    database,
    // If you give `authorize` too, roles are not looked up. The second view is then only for contact managers.
    authenticate: ({ headers }) => {
      const id = /(?:^|; )session=([^;]+)/.exec(headers.cookie ?? '')?.[1]
      return id === undefined ? null : findCaller.get(hashSession(id), Date.now())
    },
    onContactUpdated: ({ contact, changedFields, user, request }) => {
      request.log.info({ contact: contact._id, changedFields, by: user.id }, 'contact updated')
    }
  })
  return app
}

export function addAccount (database: Database.Database, login: string, password: string, isAgent: boolean): void {
  const salt = randomBytes(16)
  database.prepare('INSERT OR IGNORE INTO account (login, salt, password, is_agent) VALUES (?, ?, ?, ?)')
    .run(login, salt, hashPassword(password, salt), isAgent ? 1 : 0)
}

function hashPassword (password: string, salt: Buffer): Buffer {
  return scryptSync(password, salt, 32)
}

function hashSession (id: string): string {
  return createHash('sha256').update(id).digest('base64url')
}

export function addDemoData (database: Database.Database): void {
  addAccount(database, 'ann', 's3cret', true)
  database.exec("INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
}

async function serve (): Promise<void> {
  const database = new Database('own-users.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Log in as ann, and rename Maria:
  curl -c cookies.txt -H 'Content-Type: application/json' -d '{"login":"ann","password":"s3cret"}' '${address}/login'
  curl -b cookies.txt -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
