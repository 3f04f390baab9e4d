// Tests the smallest server through inject, without a port or a file.
//
//   npx tap --disable-coverage examples/smallest.test.ts

import Database from 'better-sqlite3'
import t from 'tap'
import { addDemoData, buildApp } from './smallest.js'

t.test('a rename by ann: 200 with her token, 401 with another', async (t) => {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  const rename = async (token: string, name: string): Promise<number> => (await app.inject({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    headers: { 'x-user-id': 'ann', 'x-auth-token': token },
    payload: { contactId: 'maria', name }
  })).statusCode
  t.equal(await rename('s3cret', 'Maria Silva'), 200)
  t.equal(await rename('a guess', 'Mallory'), 401)
  t.strictSame(database.prepare('SELECT name, version FROM omnichannel_contact').all(), [{ name: 'Maria Silva', version: 2 }])
})
