import { hashToken } from '../../src/index.js'
import { allRows, as, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { unauthorized } from '../helpers/refusals.js'
import { waitTurns } from '../helpers/waiting.js'

t.test('a caller without valid credentials: 401, and nothing is written', async (t) => {
  const { update, db } = await build(t)
  await db.exec('UPDATE omnichannel_auth_token SET expires_at = $1 WHERE user_id = $2', '2020-01-01T00:00:00.000Z', 'mia')

  const callers: Record<string, Record<string, string>> = {
    'no headers': {},
    'no token': { 'x-user-id': 'ann' },
    'an empty token': { 'x-user-id': 'ann', 'x-auth-token': '' },
    'no user': { 'x-auth-token': 'token-of-ann' },
    'an unknown token': { 'x-user-id': 'ann', 'x-auth-token': 'wrong' },
    'an unknown user': { 'x-user-id': 'who', 'x-auth-token': 'token-of-ann' },
    "another user's token": { 'x-user-id': 'ann', 'x-auth-token': 'token-of-bob' },
    'an expired token': as('mia'),
    'an inactive user': as('ina')
  }
  for (const [situation, headers] of Object.entries(callers)) {
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', name: 'Mallory' }, headers)
    t.strictSame([reply.statusCode, reply.json()], [401, unauthorized], situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
})

t.test('a stored token: the base64 of the SHA-256 of its UTF-8 bytes, as in Rocket.Chat', async (t) => {
  t.equal(hashToken('s3cret'), 'HsHCa1DV08WNlYMYGvgHZlX+AHVr9yhZQLo2cPmfy6A=')
  t.equal(hashToken('tökén'), 'xhpwXjKROoWJIf7APH3AJZJQeD8349gjQee9pv5+eDM=')
  const { update, db } = await build(t)
  await db.exec("INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('HsHCa1DV08WNlYMYGvgHZlX+AHVr9yhZQLo2cPmfy6A=', 'ann')")
  t.equal((await update({ contactId: 'maria' }, { 'x-user-id': 'ann', 'x-auth-token': 's3cret' })).statusCode, 200)
})

t.test('rights that the host has not committed: refused, also when other callers are cached', async (t) => {
  const database = openHandle(`${t.testdir()}/contacts.db`)
  database.pragma('journal_mode = WAL')
  const { update, db } = await build(t, { database })
  const withNewRole = as('nick')
  const withNewToken = { 'x-user-id': 'ann', 'x-auth-token': 'new-token' }
  // From the second call on, the caller is cached.
  for (let call = 0; call < 3; call++) t.equal((await update({ contactId: 'maria' })).statusCode, 200)
  const before = await allRows(db)
  await db.exec(`BEGIN;
    INSERT INTO omnichannel_user_role VALUES ('nick', 'livechat-agent');
    INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('new-token')}', 'ann')`)
  // An empty body would get 400 if it were judged before the caller.
  const [newRole, newToken, newRoleAndBody] = [
    update({}, withNewRole), update({}, withNewToken), update({ contactId: 'maria', name: 'Nick' }, withNewRole)
  ]
  // Gives the plugin time to look the callers up in the open transaction, which it must not do.
  await waitTurns(20)
  await db.exec('ROLLBACK')
  t.equal((await newRole).statusCode, 403)
  t.equal((await newToken).statusCode, 401)
  t.equal((await newRoleAndBody).statusCode, 403)
  t.strictSame(await allRows(db), before)
})
