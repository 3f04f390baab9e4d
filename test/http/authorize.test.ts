// docs/contract.md, section 8: users have roles, and roles have permissions.

import { allRows, as, build, changes } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { forbidden } from '../helpers/refusals.js'

t.test('the four default roles: may update, other roles may not', async (t) => {
  const { update, db } = await build(t)
  const scenarios: Array<[rolesOfNick: string[], status: number]> = [
    [[], 403],
    [['admin'], 200],
    [['livechat-manager'], 200],
    [['livechat-monitor'], 200],
    [['livechat-agent'], 200],
    [['user'], 403],
    [['Admin'], 403],
    [['guest', 'livechat-monitor'], 200],
    [['user', 'guest'], 403]
  ]
  for (const [roles, status] of scenarios) {
    await db.exec("DELETE FROM omnichannel_user_role WHERE user_id = 'nick'")
    for (const role of roles) await db.exec("INSERT INTO omnichannel_user_role (user_id, role) VALUES ('nick', $1)", role)
    const before = await allRows(db)
    const reply = await update({ contactId: 'blank', phones: ['1'] }, as('nick'))
    t.equal(reply.statusCode, status, `roles ${roles.join()}: ${status}`)
    const changed = Object.keys(changes(before, await allRows(db)))
    if (status === 200) t.ok(changed.includes('contact blank'))
    else t.strictSame([reply.json(), changed], [forbidden, []])
  }
})

t.test('a role loses the permission and gets it again: each takes effect at the next request', async (t) => {
  const { update, db } = await build(t)
  await db.exec("DELETE FROM omnichannel_role_permission WHERE role = 'livechat-agent'")
  const refused = await update({ contactId: 'maria', name: 'X' })
  t.strictSame([refused.statusCode, refused.json()], [403, forbidden])

  await db.exec("INSERT INTO omnichannel_role_permission (role, permission) VALUES ('livechat-agent', 'view-livechat-contact')")
  t.equal((await update({ contactId: 'maria', name: 'X' })).statusCode, 403, 'another permission does not help')

  await db.exec("INSERT INTO omnichannel_role_permission (role, permission) VALUES ('livechat-agent', 'update-livechat-contact')")
  t.equal((await update({ contactId: 'maria', name: 'X' })).statusCode, 200)
})
