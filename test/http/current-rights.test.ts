// A body may arrive long after its headers, and an update may wait for the database. The caller's rights are those at the time of the
// update, after the contact is locked.

import type { preParsingHookHandler } from 'fastify'
import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { allRows, as, build, fill, lockMaria, path, rowOfMaria, type Setup } from '../helpers/test-server.js'
import t, { engineOf, sqlite } from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { observe } from '../helpers/observed-server.js'
import { backendThatWaits } from '../helpers/postgres.js'
import { forbidden, unauthorized } from '../helpers/refusals.js'
import { signal } from '../helpers/waiting.js'

const ownAuthenticate: Setup = { authenticate: () => ({ id: 'ann' }) }
const ownAuthorize: Setup = { authorize: () => true }

interface Change {
  sql: string
  /** The answer of an update that sees this change. */
  status: number
  answer: object
  setup?: Setup
}

/** Changes after which the caller may not update. */
const changesOfRights: Record<string, Change> = {
  'the user is deactivated': { sql: "UPDATE omnichannel_user SET active = FALSE WHERE id = 'ann'", status: 401, answer: unauthorized },
  'the user is deleted': { sql: "DELETE FROM omnichannel_user WHERE id = 'ann'", status: 401, answer: unauthorized },
  'the token is deleted': { sql: "DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", status: 401, answer: unauthorized },
  'the token is given to another user': {
    sql: "UPDATE omnichannel_auth_token SET user_id = 'bob' WHERE user_id = 'ann'", status: 401, answer: unauthorized
  },
  'the token is made to expire': {
    sql: "UPDATE omnichannel_auth_token SET expires_at = '2026-01-01T00:00:00.000Z' WHERE user_id = 'ann'", status: 401, answer: unauthorized
  },
  'the token is deleted, beside an authorize of the host,': {
    sql: "DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", status: 401, answer: unauthorized, setup: ownAuthorize
  },
  'the role is deleted': { sql: "DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", status: 403, answer: forbidden },
  'the permission is deleted': { sql: "DELETE FROM omnichannel_role_permission WHERE role = 'livechat-agent'", status: 403, answer: forbidden },
  'the role is deleted, beside an authenticate of the host,': {
    sql: "DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", status: 403, answer: forbidden, setup: ownAuthenticate
  }
}

for (const [name, { sql, status, answer, setup }] of Object.entries(changesOfRights)) {
  t.test(`${name} between headers and body: refused, nothing written`, async (t) => {
    const callerIsChecked = signal()
    const { app, db } = await build(t, {
      ...setup,
      host: (app) => {
        app.addHook('onRoute', (route) => {
          // Added after the hooks of the plugin, which look the caller up before the body is read.
          const hooksOfPlugin = route.preParsing as preParsingHookHandler[]
          route.preParsing = [...hooksOfPlugin, async () => { callerIsChecked.fire() }]
        })
      }
    })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const text = JSON.stringify({ contactId: 'maria', name: 'Marie' })
    const sent = request({
      host: '127.0.0.1', port, path, method: 'POST', agent: false,
      headers: { ...as('ann'), 'content-type': 'application/json', 'content-length': text.length }
    })
    sent.write(text.slice(0, 10))
    await callerIsChecked.fired
    await db.exec(sql)
    const before = await allRows(db)
    sent.end(text.slice(10))
    const [reply] = await once(sent, 'response')
    t.strictSame([reply.statusCode, JSON.parse((await reply.toArray()).join(''))], [status, answer])
    t.strictSame(await allRows(db), before)
  })
}

t.test('the host has its own authenticate and authorize: users and rights in the database are not read', async (t) => {
  const { update, db } = await build(t, { ...ownAuthenticate, ...ownAuthorize })
  await db.exec('DELETE FROM omnichannel_user_role; DELETE FROM omnichannel_auth_token; DELETE FROM omnichannel_user')
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
})

function refusedAfter (sql: string, error: string): Change {
  return { sql, status: 400, answer: { success: false, error } }
}

const allChanges: Record<string, Change> = {
  ...changesOfRights,
  'the role is replaced by another': { sql: "UPDATE omnichannel_user_role SET role = 'guest' WHERE user_id = 'ann'", status: 403, answer: forbidden },
  'the role and the token are deleted': {
    sql: 'DELETE FROM omnichannel_user_role; DELETE FROM omnichannel_auth_token', status: 401, answer: unauthorized
  },
  'the role of the new manager is deleted': refusedAfter("DELETE FROM omnichannel_user_role WHERE user_id = 'bob'", 'error-contact-manager-not-found'),
  'the pattern of a custom field is changed': refusedAfter(
    "UPDATE omnichannel_custom_field SET regexp = '^silver$' WHERE id = 'plan'", 'Invalid value for Plan field'),
  'a custom field is hidden': refusedAfter(
    "UPDATE omnichannel_custom_field SET visibility = 'hidden' WHERE id = 'note'", 'Custom field note is not allowed'),
  'the contact is disabled': refusedAfter("UPDATE omnichannel_contact SET enabled = FALSE WHERE id = 'maria'", 'error-contact-not-found'),
  'the contact is deleted': refusedAfter("DELETE FROM omnichannel_contact WHERE id = 'maria'", 'error-contact-not-found')
}
const body = { contactId: 'maria', name: 'Marie', contactManager: 'bob', customFields: { plan: 'gold', note: 'x' } }

/** Sends an update that waits for a transaction of the host. It begins after the caller was looked up. Resolves once the update waits. */
async function sendWaitingUpdate (t: Test, setup: Setup = {}) {
  const mariaIsHeld = signal()
  const testServer = await observe(t, {
    ...setup,
    host: (app, { db }) => {
      app.addHook('preHandler', async () => {
        await lockMaria(db)
        mariaIsHeld.fire()
      })
    }
  })
  const reply = testServer.update(body, { ...as('ann'), 'if-match': '"1"', 'idempotency-key': 'k' })
  await mariaIsHeld.fired
  if (engineOf(t) === 'postgres') await backendThatWaits(testServer.db)
  return { ...testServer, reply }
}

for (const [name, { sql, status, answer, setup }] of Object.entries(allChanges)) {
  t.test(`${name} by the transaction for which the update waits: refused, nothing written`, async (t) => {
    const { db, reply, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await sendWaitingUpdate(t, setup)
    await db.exec(`${sql}; COMMIT`)
    const before = await allRows(db)
    const { statusCode, headers, json } = await reply
    t.strictSame([statusCode, json(), headers.etag], [status, answer, undefined])
    t.strictSame(await allRows(db), before)
    t.strictSame([eventsBeforeCommit, eventsAfterCommit, warningTexts(), await leftovers()], [[], [], [], {}])
  })

  t.test(`${name} by a transaction that is rolled back: the waiting update is made`, async (t) => {
    const { db, reply, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await sendWaitingUpdate(t, setup)
    await db.exec(`${sql}; ROLLBACK`)
    const { statusCode, headers, json } = await reply
    t.strictSame([statusCode, json().contact?.name, headers.etag], [200, 'Marie', '"2"'])
    t.match(await rowOfMaria(db), { name: 'Marie', version: 2 })
    t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, warningTexts(), await leftovers()], [1, 1, [], {}])
  })
}

t.test('the token reaches its expiry while the update waits: refused, nothing written', async (t) => {
  const expiresAt = Date.now() + 1500
  const { db, reply, eventsBeforeCommit, eventsAfterCommit } = await sendWaitingUpdate(t, {
    afterRegister: async (_app, { db }) => {
      await fill(db)
      await db.exec("UPDATE omnichannel_auth_token SET expires_at = $1 WHERE user_id = 'ann'", new Date(expiresAt).toISOString())
    }
  })
  await pause(expiresAt - Date.now() + 5)
  await db.exec('ROLLBACK')
  const before = await allRows(db)
  t.strictSame([(await reply).statusCode, (await reply).json()], [401, unauthorized])
  t.strictSame(await allRows(db), before)
  t.strictSame([eventsBeforeCommit, eventsAfterCommit], [[], []])
})

t.test('a caller who loses the role after the first check: gets no stored answer', async (t) => {
  const headers = { ...as('ann'), 'if-match': '"1"', 'idempotency-key': 'k' }
  let losesRole = false
  const { update, db } = await build(t, {
    host: (app, { db }) => {
      app.addHook('preHandler', async () => { if (losesRole) await db.exec("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'") })
    }
  })
  t.equal((await update(body, headers)).statusCode, 200)
  losesRole = true
  const rowsWithoutRoles = async (): Promise<object> => ({ ...await allRows(db), omnichannel_user_role: [] })
  const before = await rowsWithoutRoles()
  for (const sent of [body, { ...body, name: 'Other' }, { contactId: 'who' }]) {
    const reply = await update(sent, headers)
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag, reply.headers['idempotency-replayed']], [403, forbidden, undefined, undefined])
    await db.exec("INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent')")
  }
  t.strictSame(await rowsWithoutRoles(), before)
})

for (const [name, { sql, status, answer, setup }] of Object.entries(allChanges)) {
  sqlite.test(`sqlite: ${name} by another connection while the update waits for the host: refused, nothing written`, async (t) => {
    const file = `${t.testdir()}/contacts.db`
    const database = openHandle(file)
    database.pragma('journal_mode = WAL')
    const transactionHasBegun = signal()
    const { update, db, eventsBeforeCommit, eventsAfterCommit } = await observe(t, {
      ...setup, database,
      host: (app, { db }) => {
        app.addHook('preHandler', async () => {
          await db.exec('BEGIN')
          transactionHasBegun.fire()
        })
      }
    })
    const reply = update(body)
    await transactionHasBegun.fired
    const other = openHandle(file)
    other.exec(sql)
    other.close()
    await db.exec('COMMIT')
    const before = await allRows(db)
    t.strictSame([(await reply).statusCode, (await reply).json()], [status, answer])
    t.strictSame(await allRows(db), before)
    t.strictSame([eventsBeforeCommit, eventsAfterCommit], [[], []])
  })
}
