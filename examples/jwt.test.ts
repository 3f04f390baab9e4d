// Which JSON web tokens are accepted.
//
//   npx tap --disable-coverage examples/jwt.test.ts

import Database from 'better-sqlite3'
import t from 'tap'
import { addDemoData, buildApp } from './jwt.js'

const mayUpdate = ['update-livechat-contact']

t.test('a valid token with the permission: 200; any other: 401 or 403', async (t) => {
  const database = new Database(':memory:')
  const app = await buildApp(database, 'a secret of the test')
  const appWithOtherSecret = await buildApp(new Database(':memory:'), 'another secret')
  t.teardown(async () => {
    await Promise.all([app.close(), appWithOtherSecret.close()])
    database.close()
  })
  addDemoData(database)
  const sign = (claims: object, server = app): string => server.jwt.sign(claims)
  const exp = Math.floor(Date.now() / 1000) + 60
  const callers: Record<string, [authorization: string | undefined, status: number]> = {
    'a good token': [`Bearer ${sign({ sub: 'ann', permissions: mayUpdate, exp })}`, 200],
    'no token': [undefined, 401],
    'not a JSON web token': ['Bearer nonsense', 401],
    'signed with another secret': [`Bearer ${sign({ sub: 'ann', permissions: mayUpdate, exp }, appWithOtherSecret)}`, 401],
    expired: [`Bearer ${sign({ sub: 'ann', permissions: mayUpdate, exp: exp - 3600 })}`, 401],
    'without an expiry': [`Bearer ${sign({ sub: 'ann', permissions: mayUpdate })}`, 401],
    'without a user': [`Bearer ${sign({ permissions: mayUpdate, exp })}`, 401],
    'with another permission': [`Bearer ${sign({ sub: 'ann', permissions: ['view-rooms'], exp })}`, 403]
  }
  for (const [caller, [authorization, status]] of Object.entries(callers)) {
    const reply = await app.inject({
      method: 'POST',
      url: '/api/v1/omnichannel/contacts.update',
      headers: authorization === undefined ? {} : { authorization },
      payload: { contactId: 'maria', name: `Maria, by ${caller}` }
    })
    t.equal(reply.statusCode, status, caller)
  }
  t.strictSame(database.prepare('SELECT name FROM omnichannel_contact').pluck().all(), ['Maria, by a good token'])
})
