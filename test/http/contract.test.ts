// Sends each example of docs/contract.md, section 3, and provokes each error text of sections 3 and 4.

import { readFileSync } from 'node:fs'
import type { LightMyRequestResponse } from 'fastify'
import tap from 'tap'
import { allRows, as, build, changes, holdMaria, type Setup, type World } from '../helpers/build.js'
import t from '../helpers/engines.js'

const sections = readFileSync('docs/contract.md', 'utf8').split(/^## /m)

/** The cells of the table with this heading line, without the headings. */
function readTable (section: number, heading: string): string[][] {
  const lines = sections[section]!.split('\n')
  const first = lines.indexOf(heading)
  tap.not(first, -1, heading)
  const last = lines.indexOf('', first)
  return lines.slice(first + 2, last).map((line) => line.split('|').slice(1, -1))
}

/** The answer to an invalid body, with the error text of a cell. */
function invalidParams (cell: string): object {
  return { success: false, error: codeSpans(cell)[0], errorType: 'invalid-params' }
}

/** The texts between backticks in a cell. */
function codeSpans (cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)
}

t.test('section 3, refused bodies: each gets the error of its row', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  for (const [bodies, error] of readTable(3, '| body | `error` |') as Array<[string, string]>) {
    for (const body of [...codeSpans(bodies), ...bodies.includes('none') ? [undefined] : []]) {
      const reply = await post(body)
      t.strictSame([reply.statusCode, reply.json()], [400, invalidParams(error)], String(body))
      t.strictSame(await allRows(db), before, `${body}: nothing changed`)
    }
  }
})

t.test('section 3, coerced bodies: each has the effect of the body that it counts as', async (t) => {
  const send = async (body: string): Promise<unknown> => {
    const { post, db } = await build(t)
    const before = await allRows(db)
    const reply = await post(body)
    const { contact, ...rest } = reply.json()
    return [reply.statusCode, rest, { ...contact, _updatedAt: '' }, changes(before, await allRows(db))]
  }
  for (const [bodies, meaning] of readTable(3, '| body | counts as |') as Array<[string, string]>) {
    const expected = await send(codeSpans(meaning)[0]!)
    for (const body of codeSpans(bodies)) t.strictSame(await send(body), expected, body)
  }
})

/** A request that gets an error text of the contract, and the values of the placeholders in that text. */
interface Provocation {
  setup?: Setup
  send: (world: World) => Promise<LightMyRequestResponse>
  values?: Record<string, string>
  /** Needed if the contract has several statuses for this text. */
  status?: number
}

const maria = { contactId: 'maria', name: 'Mara' }

/** A hook of the host throws, after it has set headers and a status of the reply, if any are given. */
function refusedByHost (error: object, headers: Record<string, string | string[]> = {}, status?: number): Pick<Provocation, 'setup' | 'send'> {
  return {
    setup: {
      host: (app) => {
        app.addHook('onRequest', async (_request, reply) => {
          void reply.headers(headers)
          if (status !== undefined) void reply.code(status)
          throw Object.assign(new Error('FST_ not for strangers'), error)
        })
      }
    },
    send: ({ update }) => update(maria)
  }
}

const provocations: Record<string, Provocation[]> = {
  'The content encoding is not supported: send the body uncompressed [invalid-params]': ['gzip', 'br, identity'].map((encoding) =>
    ({ send: ({ post }) => post(JSON.stringify(maria), { 'content-encoding': encoding }) })),
  'The content type is not supported: send application/json [invalid-params]': [
    { send: ({ post }) => post('contactId: maria', { 'content-type': 'text/yaml' }) },
    { send: ({ post }) => post(undefined, { 'content-type': 'text/yaml' }) }
  ],
  'The request body is larger than N bytes [invalid-params]': [
    { setup: { bodyLimit: 20 }, send: ({ update }) => update(maria), values: { N: '20' } }
  ],
  'The request body does not have the length that Content-Length names [invalid-params]': [
    { send: ({ post }) => post(JSON.stringify(maria), { 'content-length': '7' }) }
  ],
  'The request body is not valid UTF-8 [invalid-params]': [
    { send: ({ post }) => post(Buffer.from('{"contactId":"maria","name":"J\xfcrgen"}', 'latin1')) },
    { send: ({ post }) => post('contactId=maria&name=J%FCrgen', { 'content-type': 'application/x-www-form-urlencoded' }) }
  ],
  'The request body is not valid JSON [invalid-params]': [{ send: ({ post }) => post('{"contactId":"maria"') }],
  'The request body could not be read [invalid-params]': [refusedByHost({ code: 'FST_ERR_CTP_OF_ITS_OWN', statusCode: 400 })],
  'You must be logged in to do this.': [{ send: ({ update }) => update(maria, {}) }],
  'User does not have the permissions required for this action [error-unauthorized]': [{ send: ({ update }) => update(maria, as('nick')) }],
  'error-contact-not-found': ['nobody', '', 'gone', 'Maria', 'maria '].map((contactId) => ({ send: ({ update }) => update({ ...maria, contactId }) })),
  'error-contact-manager-not-found': ['nobody', 'adam', 'mia', 'nick', ' '].map((contactManager) =>
    ({ send: ({ update }) => update({ ...maria, contactManager }) })),
  'Invalid value for <label> field': [
    { send: ({ update }) => update({ ...maria, customFields: {} }), values: { '<label>': 'Plan' } },
    { send: ({ update }) => update({ ...maria, customFields: { plan: 'iron' } }), values: { '<label>': 'Plan' } },
    { send: ({ update }) => update({ ...maria, customFields: { plan: 'gold', note: [] } }), values: { '<label>': 'note' } }
  ],
  'Custom field <key> is not allowed': ['colour', 'secret', 'topic'].map((key) =>
    ({ send: ({ update }) => update({ ...maria, customFields: { plan: 'gold', [key]: 'x' } }), values: { '<key>': key } })),
  'error-invalid-operation': ['', null].map((name) => ({ send: ({ update }) => update({ ...maria, name }) })),
  'Error, too many requests. Please slow down. You must wait N seconds before trying this endpoint again. [error-too-many-requests]': [
    { ...refusedByHost({ statusCode: 429 }, { 'retry-after': '42' }), values: { N: '42' } },
    { ...refusedByHost({ statusCode: 429 }, { 'retry-after': ['7'] }), values: { N: '7' } },
    { ...refusedByHost({ statusCode: 429 }, { 'retry-after': 'soon' }), values: { N: '60' } },
    { ...refusedByHost({ statusCode: 429 }, { 'retry-after': new Date().toUTCString() }), values: { N: '60' } },
    { ...refusedByHost({ statusCode: 429 }), values: { N: '60' } }
  ],
  'Internal server error': [refusedByHost({})],
  'error-database-busy': [{
    setup: { lockTimeout: 1000 },
    send: async ({ update, db }) => {
      await holdMaria(db)
      const reply = await update(maria)
      await db.exec('ROLLBACK')
      tap.match(reply.headers['retry-after'], /^\d+$/)
      return reply
    }
  }],
  '<name of the status>': [
    { ...refusedByHost({ statusCode: 400 }), status: 400, values: { '<name of the status>': 'Bad Request' } },
    { ...refusedByHost({ statusCode: 404 }), status: 404, values: { '<name of the status>': 'Not Found' } },
    { ...refusedByHost({ statusCode: 409 }), status: 409, values: { '<name of the status>': 'Conflict' } },
    { ...refusedByHost({}, {}, 418), status: 418, values: { '<name of the status>': "I'm a Teapot" } },
    { ...refusedByHost({ statusCode: 499 }), status: 499, values: { '<name of the status>': 'Request refused' } },
    { ...refusedByHost({ statusCode: 503 }), status: 503, values: { '<name of the status>': 'Service Unavailable' } }
  ]
}

t.test('sections 3 and 4, error texts: each is provoked, with the status and body of its row', async (t) => {
  const answers = [
    ...readTable(3, '| status | `error` | when |').map(([status, error]) => [status, JSON.stringify(invalidParams(error!))]),
    ...readTable(4, '| status | body | when |').map(([status, body]) => [status, codeSpans(body!)[0]])
  ] as Array<[string, string]>
  t.strictSame(answers.map(([, body]) => JSON.parse(body).error), Object.keys(provocations), 'all of them, and no others')

  for (const [statusInTable, text] of answers) {
    for (const { setup, send, values = {}, status = Number(statusInTable) } of provocations[JSON.parse(text).error]!) {
      const world = await build(t, setup)
      const before = await allRows(world.db)
      const reply = await send(world)
      const body = Object.entries(values).reduce((body, [name, value]) => body.replace(name, value), text)
      t.strictSame([reply.statusCode, reply.json()], [status, JSON.parse(body)], body)
      t.match(reply.headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }, body)
      t.strictSame(await allRows(world.db), before, `${body}: nothing changed`)
    }
  }
})
