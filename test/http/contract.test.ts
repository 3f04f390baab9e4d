// Sends each example of docs/contract.md, section 3, and provokes each error text of sections 3 and 4.

import { readFileSync } from 'node:fs'
import type { LightMyRequestResponse } from 'fastify'
import tap from 'tap'
import { allRows, as, build, changes, lockMaria, type Setup, type TestServer } from '../helpers/test-server.js'
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
  const effectOf = async (body: string): Promise<object> => {
    const { post, db } = await build(t)
    const before = await allRows(db)
    const reply = await post(body)
    const answer = reply.json()
    return {
      status: reply.statusCode,
      answer: { ...answer, contact: { ...answer.contact, _updatedAt: 'the time of the update' } },
      changes: changes(before, await allRows(db))
    }
  }
  for (const [bodies, meaning] of readTable(3, '| body | counts as |') as Array<[string, string]>) {
    const expected = await effectOf(codeSpans(meaning)[0]!)
    for (const body of codeSpans(bodies)) t.strictSame(await effectOf(body), expected, body)
  }
})

/** A request that gets an error text of the contract. */
interface Provocation {
  setup?: Setup
  send: (testServer: TestServer) => Promise<LightMyRequestResponse>
  /** The values of the placeholders in the text. */
  values?: Record<string, string>
  /** The status, if the contract has several for this text. */
  status?: number
}

const maria = { contactId: 'maria', name: 'Mara' }

/** What a hook of the host throws, and what it has set in the reply before. */
interface Refusal {
  error?: { statusCode?: number, code?: string }
  headers?: Record<string, string | string[]>
  replyStatus?: number
}

function refusedByHost ({ error, headers = {}, replyStatus }: Refusal): Pick<Provocation, 'setup' | 'send'> {
  return {
    setup: {
      host: (app) => {
        app.addHook('onRequest', async (_request, reply) => {
          void reply.headers(headers)
          if (replyStatus !== undefined) void reply.code(replyStatus)
          throw Object.assign(new Error('FST_SECRET of the host'), error)
        })
      }
    },
    send: ({ update }) => update(maria)
  }
}

/** A limit of requests of the host, with its Retry-After. The answer names the seconds. */
function rateLimited (retryAfter: string | string[] | undefined, seconds: string): Provocation {
  const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
  return { ...refusedByHost({ error: { statusCode: 429 }, headers }), values: { N: seconds } }
}

/** A status of the host's own. The answer has its name. */
function withStatusOfHost (status: number, statusName: string, refusal: Refusal = { error: { statusCode: status } }): Provocation {
  return { ...refusedByHost(refusal), status, values: { '<name of the status>': statusName } }
}

/** The error texts of the tables, in their order. */
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
  'The request body could not be read [invalid-params]': [refusedByHost({ error: { code: 'FST_ERR_CTP_OF_ITS_OWN', statusCode: 400 } })],
  'You must be logged in to do this.': [{ send: ({ update }) => update(maria, {}) }],
  'User does not have the permissions required for this action [error-unauthorized]': [{ send: ({ update }) => update(maria, as('nick')) }],
  'error-contact-not-found': ['nobody', '', 'gone', 'Maria', 'maria '].map((contactId) =>
    ({ send: ({ update }) => update({ ...maria, contactId }) })),
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
    rateLimited('42', '42'),
    rateLimited(['7'], '7'),
    rateLimited('soon', '60'),
    rateLimited(new Date().toUTCString(), '60'),
    rateLimited(undefined, '60')
  ],
  'Internal server error': [refusedByHost({})],
  'error-database-busy': [{
    setup: { lockTimeout: 1000 },
    send: async ({ update, db }) => {
      await lockMaria(db)
      const reply = await update(maria)
      await db.exec('ROLLBACK')
      tap.match(reply.headers['retry-after'], /^\d+$/)
      return reply
    }
  }],
  '<name of the status>': [
    withStatusOfHost(400, 'Bad Request'),
    withStatusOfHost(404, 'Not Found'),
    withStatusOfHost(409, 'Conflict'),
    withStatusOfHost(418, "I'm a Teapot", { replyStatus: 418 }),
    withStatusOfHost(499, 'Request refused'),
    withStatusOfHost(503, 'Service Unavailable')
  ]
}

t.test('sections 3 and 4, error texts: each is provoked, with the status and body of its row', async (t) => {
  const rows = [
    ...readTable(3, '| status | `error` | when |').map(([status, error]) => ({ status: Number(status), body: invalidParams(error!) })),
    ...readTable(4, '| status | body | when |').map(([status, body]) => ({ status: Number(status), body: JSON.parse(codeSpans(body!)[0]!) }))
  ] as Array<{ status: number, body: { error: string, message?: string } }>
  t.strictSame(rows.map(({ body }) => body.error), Object.keys(provocations), 'each text of the tables is provoked, and no other')

  for (const { status: statusOfRow, body } of rows) {
    for (const { setup, send, values = {}, status = statusOfRow } of provocations[body.error]!) {
      const testServer = await build(t, setup)
      const before = await allRows(testServer.db)
      const reply = await send(testServer)
      let { error } = body
      for (const [placeholder, value] of Object.entries(values)) error = error.replace(placeholder, value)
      t.strictSame([reply.statusCode, reply.json()], [status, { ...body, error }], error)
      t.match(reply.headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }, error)
      t.strictSame(await allRows(testServer.db), before, `${error}: nothing changed`)
    }
  }
})
