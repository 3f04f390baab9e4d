import t from 'tap'
import { as, build, rows } from '../build.js'

const refusal = {
  success: false,
  error: 'You must be logged in to do this.',
  status: 'error',
  message: 'You must be logged in to do this.'
}

void t.test('a caller who is not known is refused, whatever the reason', async (t) => {
  const { update, database } = await build(t)
  database.prepare('UPDATE omnichannel_auth_token SET expires_at = ? WHERE user_id = ?').run('2020-01-01T00:00:00.000Z', 'mia')

  const callers: Record<string, Record<string, string>> = {
    'no headers': {},
    'no token': { 'x-user-id': 'ann' },
    'no user': { 'x-auth-token': 'token-of-ann' },
    'an unknown token': { 'x-user-id': 'ann', 'x-auth-token': 'wrong' },
    'an unknown user': { 'x-user-id': 'who', 'x-auth-token': 'token-of-ann' },
    "another user's token": { 'x-user-id': 'ann', 'x-auth-token': 'token-of-bob' },
    'an expired token': as('mia'),
    'an inactive user': as('ina')
  }
  for (const [situation, headers] of Object.entries(callers)) {
    const before = rows(database)
    const reply = await update({ contactId: 'maria', name: 'Mallory' }, headers)
    t.equal(reply.statusCode, 401, situation)
    t.strictSame(reply.json(), refusal, situation)
    t.strictSame(rows(database), before, `${situation}: nothing changed`)
  }
})
