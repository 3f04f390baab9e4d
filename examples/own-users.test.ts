// A tap test of a host app, through inject: no port, no file, no mock.
//
//   npx tap --disable-coverage examples/own-users.test.ts

import Database from 'better-sqlite3'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { addAccount, addDemoData, buildApp } from './own-users.js'

interface TestApp {
  database: Database.Database
  /** Logs in and returns the cookie of the session. */
  logIn: (login: string, password: string) => Promise<string>
  update: (cookie: string, payload: object) => Promise<LightMyRequestResponse>
}

async function openTestApp (t: Test): Promise<TestApp> {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  addAccount(database, 'otto', 'soup', false)
  return {
    database,
    logIn: async (login, password) => {
      const { headers } = await app.inject({ method: 'POST', url: '/login', payload: { login, password } })
      return String(headers['set-cookie']).split(';')[0]!
    },
    update: async (cookie, payload) =>
      await app.inject({ method: 'POST', url: '/api/v1/omnichannel/contacts.update', headers: { cookie }, payload })
  }
}

t.test('an agent who has logged in: can rename a contact and become its manager', async (t) => {
  const { database, logIn, update } = await openTestApp(t)
  const reply = await update(await logIn('ann', 's3cret'), { contactId: 'maria', name: 'Maria Silva', contactManager: 'ann' })
  t.equal(reply.statusCode, 200)
  t.match(reply.json(), { contact: { name: 'Maria Silva', contactManager: 'ann' }, success: true })
  t.strictSame(database.prepare('SELECT name, contact_manager FROM omnichannel_contact').raw().all(), [['Maria Silva', 'ann']])
})

t.test('an unknown or locked caller, or one who is no agent: refused, and nothing changes', async (t) => {
  const { database, logIn, update } = await openTestApp(t)
  const ann = await logIn('ann', 's3cret')
  const rename = { contactId: 'maria', name: 'Mallory' }
  t.equal((await update('', rename)).statusCode, 401, 'no session')
  t.equal((await update(await logIn('ann', 'a guess'), rename)).statusCode, 401, 'a wrong password')
  t.equal((await update(await logIn('otto', 'soup'), rename)).statusCode, 403, 'no agent')
  database.exec("UPDATE account SET is_locked = 1 WHERE login = 'ann'")
  t.equal((await update(ann, rename)).statusCode, 401, 'locked after logging in')
  t.strictSame(database.prepare('SELECT name, version FROM omnichannel_contact').raw().all(), [['Maria', 1]])
})

t.test('a contact manager who is no agent: refused', async (t) => {
  const { logIn, update } = await openTestApp(t)
  const reply = await update(await logIn('ann', 's3cret'), { contactId: 'maria', contactManager: 'otto' })
  t.equal(reply.statusCode, 400)
  t.strictSame(reply.json(), { success: false, error: 'error-contact-manager-not-found' })
})
