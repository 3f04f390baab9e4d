// A body may arrive long after its headers. What counts are the caller's rights when the update is done.

import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from '../engines.js'
import { as, build, path, rows, type Setup } from '../build.js'

const message = 'You must be logged in to do this.'
const unauthorized = [401, { success: false, error: message, status: 'error', message }]
const forbidden = [403, { success: false, error: 'User does not have the permissions required for this action [error-unauthorized]' }]

const known: Setup = { authenticate: () => ({ id: 'ann' }) }
const allowed: Setup = { authorize: () => true }

const scenarios: Record<string, [sql: string, answer: unknown, setup?: Setup]> = {
  'the user was deactivated': ["UPDATE omnichannel_user SET active = 0 WHERE id = 'ann'", unauthorized],
  'the user was removed': ["DELETE FROM omnichannel_user WHERE id = 'ann'", unauthorized],
  'the token was revoked': ["DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", unauthorized],
  'the token was given to somebody else': ["UPDATE omnichannel_auth_token SET user_id = 'bob' WHERE user_id = 'ann'", unauthorized],
  'the token has expired': ["UPDATE omnichannel_auth_token SET expires_at = '2026-01-01T00:00:00.000Z' WHERE user_id = 'ann'", unauthorized],
  'the token was revoked, and the host says who may': ["DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", unauthorized, allowed],
  'the role was taken away': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", forbidden],
  'the permission was withdrawn': ["DELETE FROM omnichannel_role_permission WHERE role = 'livechat-agent'", forbidden],
  'the role was taken away, and the host says who calls': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", forbidden, known]
}

for (const [name, [sql, answer, setup]] of Object.entries(scenarios)) {
  t.test(`${name} between headers and body: refused, nothing written`, async (t) => {
    const { app, database } = await build(t, setup)
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const text = JSON.stringify({ contactId: 'maria', name: 'Marie' })
    const sent = request({
      host: '127.0.0.1', port, path, method: 'POST', agent: false,
      headers: { ...as('ann'), 'content-type': 'application/json', 'content-length': text.length }
    })
    sent.write(text.slice(0, 10))
    await pause(50)
    database.exec(sql)
    const before = rows(database)
    sent.end(text.slice(10))
    const [reply] = await once(sent, 'response')
    t.strictSame([reply.statusCode, JSON.parse((await reply.toArray()).join(''))], answer)
    t.strictSame(rows(database), before)
  })
}

t.test('the host says who calls and who may: the database is not asked for either', async (t) => {
  const { update, database } = await build(t, { ...known, ...allowed })
  database.exec('DELETE FROM omnichannel_user_role; DELETE FROM omnichannel_auth_token; DELETE FROM omnichannel_user')
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
})
