import Database from 'better-sqlite3'
import { join } from 'node:path'
import type { LightMyRequestResponse } from 'fastify'
import t from '../engines.js'
import { allRows, as, build } from '../build.js'
import { openFile } from '../files.js'

// docs/contract.md, section 4: every answer, its whole body and its headers.

function hasHeaders (t: Parameters<typeof build>[0], reply: LightMyRequestResponse, situation: string): void {
  const { 'content-type': type, 'cache-control': cache, pragma } = reply.headers
  t.strictSame([type, cache, pragma], ['application/json', 'no-store', 'no-cache'], `${situation}: headers`)
}

const login = 'You must be logged in to do this.'

t.test('refusals: status, whole body, headers, and nothing changed', async (t) => {
  const { update, post, db } = await build(t, { bodyLimit: 1000 })
  const maria = (rest: object): object => ({ contactId: 'maria', ...rest })
  const refuse = (error: string, rest: object = {}): object => ({ success: false, error, ...rest })
  const shape = (error: string): object => refuse(`${error} [invalid-params]`, { errorType: 'invalid-params' })
  const noContact = refuse('error-contact-not-found')
  const noManager = refuse('error-contact-manager-not-found')
  const scenarios: Array<[situation: string, ask: () => Promise<LightMyRequestResponse>, status: number, body: object]> = [
    ['nobody', () => update(maria({}), {}), 401, refuse(login, { status: 'error', message: login })],
    ['no permission', () => update(maria({}), as('nick')), 403,
      refuse('User does not have the permissions required for this action [error-unauthorized]')],
    ['not JSON', () => post('{'), 400, shape('The request body is not valid JSON')],
    ['unsupported content type', () => post('x', { 'content-type': 'text/plain' }), 400,
      shape('The content type is not supported: send application/json')],
    ['too large', () => post('x'.repeat(2000)), 413, shape('The request body is larger than 1000 bytes')],
    ['wrong shape', () => update({}), 400, shape("must have required property 'contactId'")],
    ['unknown contact', () => update({ contactId: 'nobody', name: 'X' }), 400, noContact],
    ['empty contact', () => update({ contactId: '', name: 'X' }), 400, noContact],
    ['disabled contact', () => update({ contactId: 'gone', name: 'X' }), 400, noContact],
    ['contact in other letters', () => update({ contactId: 'Maria', name: 'X' }), 400, noContact],
    ['contact with white space', () => update({ contactId: 'maria ', name: 'X' }), 400, noContact],
    ['unknown manager', () => update(maria({ contactManager: 'nobody' })), 400, noManager],
    ['manager who is an admin but no agent', () => update(maria({ contactManager: 'adam' })), 400, noManager],
    ['manager who is a livechat-manager but no agent', () => update(maria({ contactManager: 'mia' })), 400, noManager],
    ['blank manager', () => update(maria({ contactManager: ' ' })), 400, noManager],
    ['manager without a role', () => update(maria({ contactManager: 'nick' })), 400, noManager],
    ['custom field missing', () => update(maria({ customFields: {} })), 400, refuse('Invalid value for Plan field')],
    ['custom field of the wrong form', () => update(maria({ customFields: { plan: 'iron' } })), 400, refuse('Invalid value for Plan field')],
    ['custom field that is no scalar, without a label', () => update(maria({ customFields: { plan: 'gold', note: {} } })), 400,
      refuse('Invalid value for note field')],
    ['custom field that is not allowed', () => update(maria({ customFields: { plan: 'gold', secret: 'x' } })), 400,
      refuse('Custom field secret is not allowed')],
    ['custom field of rooms', () => update(maria({ customFields: { plan: 'gold', topic: 'x' } })), 400,
      refuse('Custom field topic is not allowed')],
    ['name taken away', () => update(maria({ name: '' })), 400, refuse('error-invalid-operation')],
    ['name taken away by null', () => update(maria({ name: null, emails: [] })), 400, refuse('error-invalid-operation')]
  ]
  for (const [situation, ask, status, body] of scenarios) {
    const before = await allRows(db)
    const reply = await ask()
    t.equal(reply.statusCode, status, situation)
    t.strictSame(reply.json(), body, situation)
    hasHeaders(t, reply, situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
  for (const body of [maria({}), maria({ emails: [] })]) hasHeaders(t, await update(body), '200')
})

t.test('labels and keys in errors: plain text, whatever is in them', async (t) => {
  const { update, db } = await build(t)
  for (const label of ['<b>Plan & "co"</b>', '%s %d %%', '$&', '  ', 'Größe 🙂']) {
    await db.exec("UPDATE omnichannel_custom_field SET label = $1 WHERE id = 'plan'", label)
    t.strictSame((await update({ contactId: 'maria', customFields: {} })).json(), { success: false, error: `Invalid value for ${label} field` })
    t.strictSame((await update({ contactId: 'maria', customFields: { plan: 'gold', [label]: 1 } })).json(), {
      success: false, error: `Custom field ${label} is not allowed`
    })
  }
})

t.test("the host's rate limit: 429 with the seconds to wait", async (t) => {
  const { update, db } = await build(t, {
    host: (app) => {
      app.addHook('onRequest', async (_request, reply) => {
        void reply.header('retry-after', '42')
        throw Object.assign(new Error('Rate limit exceeded, retry in 42 seconds'), { statusCode: 429 })
      })
    }
  })
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'X' })
  t.equal(reply.statusCode, 429)
  t.strictSame(reply.json(), {
    success: false,
    error: 'Error, too many requests. Please slow down. You must wait 42 seconds before trying this endpoint again. [error-too-many-requests]'
  })
  t.equal(reply.headers['retry-after'], '42')
  hasHeaders(t, reply, '429')
  t.strictSame(await allRows(db), before)
})

t.test('something unforeseen: 500, a fixed text, the cause in the log only', async (t) => {
  const lines: string[] = []
  const { update, db } = await build(t, { server: { logger: { stream: { write: (line: string) => { lines.push(line) } } } } })
  await db.refuseUpdates('omnichannel_inquiry', 'the trigger says no')
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'X', emails: [], customFields: { plan: 'silver' }, wipeConflicts: true })
  t.equal(reply.statusCode, 500)
  t.strictSame(reply.json(), { success: false, error: 'Internal server error' })
  hasHeaders(t, reply, '500')
  t.strictSame(await allRows(db), before)
  t.match(lines.filter((line) => line.includes('the trigger says no')), [/"level":50/], 'logged once, as an error')
  t.notMatch(lines.join(''), /token-of-ann/, 'no token in the log')
})

t.test('a database that stays locked: 503 and Retry-After, and good again afterwards', async (t) => {
  const file = join(t.testdir(), 'contacts.db')
  const { update, db } = await build(t, { database: new Database(file), lockTimeout: 30 })
  const other = openFile(t, file)
  const before = await allRows(db)

  other.exec('BEGIN IMMEDIATE')
  const reply = await update({ contactId: 'maria', name: 'X' })
  other.exec('ROLLBACK')
  t.equal(reply.statusCode, 503)
  t.strictSame(reply.json(), { success: false, error: 'error-database-busy' })
  t.match(reply.headers['retry-after'], /^[1-9]\d*$/)
  hasHeaders(t, reply, '503')
  t.strictSame(await allRows(db), before)

  t.equal((await update({ contactId: 'maria', name: 'X' })).statusCode, 200)
})
