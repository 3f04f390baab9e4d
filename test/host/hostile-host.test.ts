import Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { allRows, as, build, path, type Setup, type TestServer } from '../helpers/test-server.js'
import { forbidden, internalServerError, invalid, unauthorized } from '../helpers/refusals.js'

const json = { 'content-type': 'application/json' }

interface Request { headers: Record<string, string>, payload?: string }

/** Requests with the status of the answer, and its body if the contract has its exact text. */
const requests: Array<[situation: string, request: Request, status: number, body?: object]> = [
  ['a change', { headers: { ...as('ann'), ...json }, payload: '{"contactId":"maria","name":"Marie","emails":["a@b",7]}' }, 200],
  ['nothing to change', { headers: { ...as('ann'), ...json }, payload: '{"contactId":"maria"}' }, 200],
  ['a form', { headers: { ...as('ann'), 'content-type': 'application/x-www-form-urlencoded' }, payload: 'contactId=maria&name=Mar%C3%ADa' }, 200],
  ['an unknown key', { headers: { ...as('ann'), ...json }, payload: '{"contactId":"maria","colour":1}' }, 400,
    invalid('must NOT have additional properties')],
  ['a text for a list', { headers: { ...as('ann'), ...json }, payload: '{"contactId":"maria","emails":"a@b"}' }, 400, invalid('must be array')],
  ['a list for a text', { headers: { ...as('ann'), ...json }, payload: '{"contactId":["maria"]}' }, 400, invalid('must be string')],
  ['two mistakes', { headers: { ...as('ann'), ...json }, payload: '{"contactId":{},"emails":5}' }, 400, invalid('must be string')],
  ['no body', { headers: as('ann') }, 400, invalid("must have required property 'contactId'")],
  ['broken JSON', { headers: { ...as('ann'), ...json }, payload: '{"contactId":' }, 400, invalid('The request body is not valid JSON')],
  ['plain text', { headers: { ...as('ann'), 'content-type': 'text/plain' }, payload: 'maria' }, 400,
    invalid('The content type is not supported: send application/json')],
  ['an unknown contact', { headers: { ...as('ann'), ...json }, payload: '{"contactId":"who"}' }, 400,
    { success: false, error: 'error-contact-not-found' }],
  ['no permission', { headers: { ...as('nick'), ...json }, payload: '{"contactId":"maria"}' }, 403, forbidden],
  ['no credentials', { headers: json, payload: '{"contactId":"maria"}' }, 401, unauthorized],
  ['a contact whose update a trigger refuses', { headers: { ...as('ann'), ...json }, payload: '{"contactId":"blank","name":"B"}' }, 500, internalServerError]
]

/** Replaces everything with which Fastify checks a body and writes an answer. */
function overrideHandlers (app: FastifyInstance): void {
  app.setValidatorCompiler(() => () => true)
  app.setSchemaErrorFormatter(() => new Error('of the host'))
  app.setSerializerCompiler(() => () => '"of the host"')
  app.setReplySerializer(() => '"of the host"')
  app.setErrorHandler((error, _request, reply) => reply.code(418).type('text/html').send(String((error as Error).stack)))
  app.setNotFoundHandler((_request, reply) => reply.code(418).send('of the host'))
}

/** Replaces the parsers of bodies, and changes answers. */
function overrideBodies (app: FastifyInstance): void {
  app.addHook('preSerialization', async () => ({ ofHost: true }))
  app.removeAllContentTypeParsers()
  for (const type of ['application/json', '*']) {
    app.addContentTypeParser(type, { parseAs: 'string' }, (_request, _body, done) => { done(null, { contactId: 'maria', name: 'Name of the host' }) })
  }
}

const ajv = { customOptions: { removeAdditional: 'all', coerceTypes: 'array', allErrors: true, useDefaults: true } } as const
const buildFailingValidator = () => () => () => ({ error: new Error('of the host') })
const buildWrongSerializer = () => () => () => '"of the host"'
const useBigIntegers = (_app: FastifyInstance, { database }: { database: Database.Database }) => { database.defaultSafeIntegers(true) }

const hosts: Record<string, Setup> = {
  'its own onRequest hook on all routes': {
    host: (app) => { app.addHook('onRoute', (route) => { route.onRequest = (_request, _reply, done) => { done() } }) }
  },
  'its own preValidation hook on all routes': {
    host: (app) => { app.addHook('onRoute', (route) => { route.preValidation = (_request, _reply, done) => { done() } }) }
  },
  'attachValidation on all routes': { host: (app) => { app.addHook('onRoute', (route) => { route.attachValidation = true }) } },
  'an onRoute hook that removes all schemas': { host: (app) => { app.addHook('onRoute', (route) => { delete route.schema }) } },
  'an onRoute hook that replaces all validators': {
    host: (app) => { app.addHook('onRoute', (route) => { route.validatorCompiler = () => () => true }) }
  },
  'Ajv that strips and coerces': { server: { ajv } },
  'its own schema controller': {
    // `as never`, because these are simpler than the types of Fastify demand.
    server: {
      schemaController: { compilersFactory: { buildValidator: buildFailingValidator as never, buildSerializer: buildWrongSerializer as never } }
    }
  },
  'a serializer compiler that throws': {
    afterRegister: (app) => { app.setSerializerCompiler(() => { throw new Error('of the host') }) }
  },
  'its own handlers and parsers, set before the plugin': {
    server: { ajv },
    host: (app) => {
      overrideHandlers(app)
      overrideBodies(app)
    }
  },
  'its own handlers, set after the plugin': { server: { ajv }, afterRegister: overrideHandlers },
  'protection against prototype poisoning': { server: { onProtoPoisoning: 'error', onConstructorPoisoning: 'error', bodyLimit: 1 } },
  'big integers, set before the plugin': { host: useBigIntegers },
  'big integers, set after the plugin': { afterRegister: useBigIntegers },
  'foreign keys on': { host: (_app, { database }) => { database.pragma('foreign_keys = ON') } },
  'foreign keys off': { host: (_app, { database }) => { database.pragma('foreign_keys = OFF') } }
}

/** Makes each update of the contact blank fail. */
function refuseBlank (database: Database.Database): void {
  database.exec("CREATE TRIGGER guard BEFORE UPDATE ON omnichannel_contact WHEN old.id = 'blank' BEGIN SELECT RAISE(ABORT, 'of the host'); END")
}

/** Sends all requests and checks each answer. Resolves to headers and bodies without times. */
async function sendAll (t: Test, { app, database, db }: TestServer): Promise<object[]> {
  refuseBlank(database)
  const answers: object[] = []
  for (const [situation, { headers, payload }, status, body] of requests) {
    const before = await allRows(db)
    const reply = await app.inject({ method: 'POST', url: path, headers, ...payload !== undefined && { payload } })
    t.equal(reply.statusCode, status, situation)
    if (body !== undefined) t.strictSame(reply.json(), body, situation)
    if (status !== 200) t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
    t.match(reply.headers, { 'content-type': /^application\/json$/, 'cache-control': 'no-store', pragma: 'no-cache' }, situation)
    answers.push({ headers: { ...reply.headers, date: '' }, body: reply.body.replace(/"_updatedAt":"[^"]*"/, '') })
  }
  return answers
}

t.test('a host with its own settings, parsers and handlers: the same answers and headers as a plain host', async (t) => {
  const answersOfPlainHost = await sendAll(t, await build(t))
  for (const [host, setup] of Object.entries(hosts)) {
    await t.test(host, async (t) => {
      const testServer = await build(t, setup)
      t.strictSame(await sendAll(t, testServer), answersOfPlainHost)
      const { name, version } = testServer.database.prepare<[], Record<string, unknown>>(
        "SELECT name, version FROM omnichannel_contact WHERE id = 'maria'").get()!
      t.strictSame([name, Number(version)], ['María', 3])
    })
  }
})

t.test('a log of the level trace: has no token, and no answer has a stack, an error code or the name of a file', async (t) => {
  const lines: string[] = []
  const testServer = await build(t, { server: { logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } } })
  refuseBlank(testServer.database)
  for (const [situation, { headers, payload }] of requests) {
    const { body } = await testServer.app.inject({ method: 'POST', url: path, headers, ...payload !== undefined && { payload } })
    t.notMatch(body, /stack|statusCode|FST_|FOC_|SQLITE|\.ts|\.js| at /, situation)
  }
  t.ok(lines.some((line) => line.includes('"code":"SQLITE_')), 'the cause of a 500 is there')
  t.strictSame(lines.filter((line) => line.includes('token-of-')), [])
})
