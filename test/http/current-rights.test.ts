// A body may arrive long after its headers, and an update may wait for the database. The caller's rights are those at the time of the
// update, after the contact is locked.

import type { preParsingHookHandler } from 'fastify'
import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { allRows, as, build, fill, holdMaria, path, type Setup } from '../helpers/build.js'
import t, { engineOf, sqlite } from '../helpers/engines.js'
import { openHandle } from '../helpers/handle.js'
import { observe } from '../helpers/observed.js'
import { backendThatWaits } from '../helpers/postgres.js'
import * as refusals from '../helpers/refusals.js'
import { signal } from '../helpers/waiting.js'

const unauthorized = [401, refusals.unauthorized]
const forbidden = [403, refusals.forbidden]

const ownAuthenticate: Setup = { authenticate: () => ({ id: 'ann' }) }
const allowed: Setup = { authorize: () => true }

const scenarios: Record<string, [sql: string, answer: unknown, setup?: Setup]> = {
  'the user was deactivated': ["UPDATE omnichannel_user SET active = FALSE WHERE id = 'ann'", unauthorized],
  'the user was removed': ["DELETE FROM omnichannel_user WHERE id = 'ann'", unauthorized],
  'the token was revoked': ["DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", unauthorized],
  'the token was given to another user': ["UPDATE omnichannel_auth_token SET user_id = 'bob' WHERE user_id = 'ann'", unauthorized],
  'the token has expired': ["UPDATE omnichannel_auth_token SET expires_at = '2026-01-01T00:00:00.000Z' WHERE user_id = 'ann'", unauthorized],
  'the token was revoked, and the host has its own authorize': ["DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'", unauthorized, allowed],
  'the role was taken away': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", forbidden],
  'the permission was withdrawn': ["DELETE FROM omnichannel_role_permission WHERE role = 'livechat-agent'", forbidden],
  'the role was taken away, and the host has its own authenticate': ["DELETE FROM omnichannel_user_role WHERE user_id = 'ann'", forbidden, ownAuthenticate]
}

for (const [name, [sql, answer, setup]] of Object.entries(scenarios)) {
  t.test(`${name} between headers and body: refused, nothing written`, async (t) => {
    const checked = signal()
    const { app, db } = await build(t, {
      ...setup,
      host: (app) => {
        // Runs after the plugin's own hooks, which look the caller up before the body is read.
        app.addHook('onRoute', (route) => { route.preParsing = [...route.preParsing as preParsingHookHandler[], async () => { checked.fire() }] })
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
    await checked.fired
    await db.exec(sql)
    const before = await allRows(db)
    sent.end(text.slice(10))
    const [reply] = await once(sent, 'response')
    t.strictSame([reply.statusCode, JSON.parse((await reply.toArray()).join(''))], answer)
    t.strictSame(await allRows(db), before)
  })
}

t.test('the host has its own authenticate and authorize: the database is not asked', async (t) => {
  const { update, db } = await build(t, { ...ownAuthenticate, ...allowed })
  await db.exec('DELETE FROM omnichannel_user_role; DELETE FROM omnichannel_auth_token; DELETE FROM omnichannel_user')
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
})

const refuse = (error: string): unknown => [400, { success: false, error }]
/** Changes of other rows that an update reads in its transaction. */
const otherScenarios: typeof scenarios = {
  'the user has another role': ["UPDATE omnichannel_user_role SET role = 'guest' WHERE user_id = 'ann'", forbidden],
  'the role and the token are gone': ['DELETE FROM omnichannel_user_role; DELETE FROM omnichannel_auth_token', unauthorized],
  'the new manager is no agent any more': ["DELETE FROM omnichannel_user_role WHERE user_id = 'bob'", refuse('error-contact-manager-not-found')],
  'a custom field has another pattern': ["UPDATE omnichannel_custom_field SET regexp = '^silver$' WHERE id = 'plan'", refuse('Invalid value for Plan field')],
  'a custom field is hidden': ["UPDATE omnichannel_custom_field SET visibility = 'hidden' WHERE id = 'note'", refuse('Custom field note is not allowed')],
  'the contact is disabled': ["UPDATE omnichannel_contact SET enabled = FALSE WHERE id = 'maria'", refuse('error-contact-not-found')],
  'the contact is deleted': ["DELETE FROM omnichannel_contact WHERE id = 'maria'", refuse('error-contact-not-found')]
}
const body = { contactId: 'maria', name: 'Marie', contactManager: 'bob', customFields: { plan: 'gold', note: 'x' } }

/** Sends an update that waits for a transaction, which begins after the caller was looked up. Resolves once the update waits. */
async function sendWaitingUpdate (t: Test, setup: Setup = {}) {
  const { fired: looksUp, fire } = signal()
  let isHeld = false
  const world = await observe(t, {
    ...setup,
    host: async (app, opened) => {
      await setup.host?.(app, opened)
      app.addHook('preHandler', async () => {
        if (!isHeld) await holdMaria(opened.db)
        isHeld = true
        fire()
      })
    }
  })
  const reply = world.update(body, { ...as('ann'), 'if-match': '"1"', 'idempotency-key': 'k' })
  await looksUp
  if (engineOf(t) === 'postgres') await backendThatWaits(world.db)
  return { ...world, reply }
}

for (const [name, [sql, answer, setup]] of Object.entries({ ...scenarios, ...otherScenarios })) {
  t.test(`${name} by the transaction for which the update waits: refused, nothing written`, async (t) => {
    const { db, reply, called, notified, complaints, leftovers } = await sendWaitingUpdate(t, setup)
    await db.exec(`${sql}; COMMIT`)
    const before = await allRows(db)
    const { statusCode, headers, json } = await reply
    t.strictSame([statusCode, json(), headers.etag], [...answer as unknown[], undefined])
    t.strictSame(await allRows(db), before)
    t.strictSame([called, notified, complaints(), await leftovers()], [[], [], [], {}])
  })

  t.test(`${name}, but the transaction is rolled back: the update is made`, async (t) => {
    const { db, reply, called, notified, complaints, leftovers } = await sendWaitingUpdate(t, setup)
    await db.exec(`${sql}; ROLLBACK`)
    const { statusCode, headers, json } = await reply
    t.strictSame([statusCode, json().contact?.name, headers.etag], [200, 'Marie', '"2"'])
    t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 2 }])
    t.strictSame([called.length, notified.length, complaints(), await leftovers()], [1, 1, [], {}])
  })
}

t.test('the token expires by the clock while the update waits: refused, nothing written', async (t) => {
  const expiresAt = Date.now() + 1500
  const { db, reply, called, notified } = await sendWaitingUpdate(t, {
    afterRegister: async (_app, { db }) => {
      await fill(db)
      await db.exec("UPDATE omnichannel_auth_token SET expires_at = $1 WHERE user_id = 'ann'", new Date(expiresAt).toISOString())
    }
  })
  await pause(expiresAt - Date.now() + 5)
  await db.exec('ROLLBACK')
  const before = await allRows(db)
  t.strictSame([(await reply).statusCode, (await reply).json()], unauthorized)
  t.strictSame(await allRows(db), before)
  t.strictSame([called, notified], [[], []])
})

t.test('a stored answer: a caller without the permission does not get it', async (t) => {
  const headers = { ...as('ann'), 'if-match': '"1"', 'idempotency-key': 'k' }
  let revoke = false
  const { update, db } = await build(t, {
    host: (app, { db }) => {
      app.addHook('preHandler', async () => { if (revoke) await db.exec("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'") })
    }
  })
  t.equal((await update(body, headers)).statusCode, 200)
  revoke = true
  const before = { ...await allRows(db), omnichannel_user_role: [] }
  for (const sent of [body, { ...body, name: 'Other' }, { contactId: 'who' }]) {
    const reply = await update(sent, headers)
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag, reply.headers['idempotency-replayed']], [...forbidden, undefined, undefined])
  }
  t.strictSame({ ...await allRows(db), omnichannel_user_role: [] }, before)
})

for (const [name, [sql, answer, setup]] of Object.entries({ ...scenarios, ...otherScenarios })) {
  sqlite.test(`sqlite: ${name} by another connection while the update waits for the host: refused, nothing written`, async (t) => {
    const file = `${t.testdir()}/contacts.db`
    const database = openHandle(file)
    database.pragma('journal_mode = WAL')
    const { fired: begun, fire } = signal()
    const { update, db, called, notified } = await observe(t, {
      ...setup, database,
      host: (app, { db }) => {
        app.addHook('preHandler', async () => {
          await db.exec('BEGIN')
          fire()
        })
      }
    })
    const reply = update(body)
    await begun
    const other = openHandle(file)
    other.exec(sql)
    other.close()
    await db.exec('COMMIT')
    const before = await allRows(db)
    t.strictSame([(await reply).statusCode, (await reply).json()], answer)
    t.strictSame(await allRows(db), before)
    t.strictSame([called, notified], [[], []])
  })
}
