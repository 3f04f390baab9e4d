import type Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import omnichannelContacts from '../../src/index.js'
import { as, build, fill, path, rowOfMaria } from '../helpers/test-server.js'
import { openFile } from '../helpers/sqlite-files.js'
import { handleKind, openHandle } from '../helpers/open-handle.js'
import { sqliteDb } from '../helpers/sqlite.js'

const pragmas = [
  'application_id', 'auto_vacuum', 'automatic_index', 'busy_timeout', 'cache_size', 'cache_spill', 'cell_size_check', 'checkpoint_fullfsync',
  'defer_foreign_keys', 'encoding', 'foreign_keys', 'fullfsync', 'hard_heap_limit', 'ignore_check_constraints', 'journal_mode',
  'journal_size_limit', 'legacy_alter_table', 'locking_mode', 'max_page_count', 'mmap_size', 'page_size', 'query_only', 'read_uncommitted',
  'recursive_triggers', 'reverse_unordered_selects', 'secure_delete', 'soft_heap_limit', 'synchronous', 'temp_store', 'threads',
  'trusted_schema', 'user_version', 'wal_autocheckpoint', 'writable_schema'
]

/** What a host sees of its handle. */
function settingsOf (database: Database.Database): Record<string, unknown> {
  return {
    ...Object.fromEntries(pragmas.map((name) => [name, database.pragma(name, { simple: true })])),
    typeOfIntegers: typeof database.prepare('SELECT 1').pluck().get(),
    open: database.open,
    inTransaction: database.inTransaction,
    properties: Reflect.ownKeys(database)
  }
}

/** The names of all members of an object and its class. */
function namesOf (value: object): unknown[] {
  return [...Reflect.ownKeys(value), ...Reflect.ownKeys(Object.getPrototypeOf(value) as object)].map(String).sort()
}

/** What a host sees of its server, its requests and its replies. Fastify keeps their classes under symbols. */
function surfaceOf (app: FastifyInstance): Record<string, unknown> {
  const classOf = (name: string) => {
    const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === name)!
    return Reflect.get(app, symbol) as { prototype: object, props: unknown }
  }
  const [request, reply] = [classOf('fastify.Request'), classOf('fastify.Reply')]
  return {
    app: namesOf(app),
    request: [namesOf(request.prototype), structuredClone(request.props)],
    reply: [namesOf(reply.prototype), structuredClone(reply.props)],
    errorHandler: Reflect.get(app, 'errorHandler'),
    validatorCompiler: app.validatorCompiler,
    serializerCompiler: app.serializerCompiler,
    schemas: app.getSchemas(),
    config: app.initialConfig,
    prefix: app.prefix,
    parsers: ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'application/x-own', '*']
      .map((type) => app.hasContentTypeParser(type))
  }
}

/** A server with decorators, a parser, an error handler and routes of the host. */
function createHost (database: Database.Database): FastifyInstance {
  const app = fastify()
  app.decorateRequest('ofHost', null)
  app.decorate('database', database)
  app.addContentTypeParser('application/x-own', { parseAs: 'string' }, (_request, body, done) => { done(null, { body }) })
  app.setErrorHandler((error, _request, reply) => reply.code(418).send({ handler: 'of the host', code: (error as { code?: string }).code }))
  const schema = { body: { type: 'object', properties: { count: { type: 'integer', default: 3 }, tags: { type: 'array' } }, additionalProperties: false } }
  app.post('/own', { schema }, async (request) => ({ body: request.body, seen: Reflect.ownKeys(request).map(String) }))
  app.post('/raw', async (request) => ({ body: request.body }))
  return app
}

/** Sends requests to the routes of the host. Resolves to the answers. */
async function callOwnRoutes (app: FastifyInstance): Promise<unknown[]> {
  const requests: Array<[url: string, type: string, payload: string]> = [
    ['/own', 'application/json', '{"count":"5","tags":"x","other":1}'], ['/own', 'application/json', '{}'],
    ['/own', 'application/json', '{"count":"x"}'], ['/own', 'application/json', '{'],
    ['/raw', 'application/x-own', 'abc'], ['/raw', 'text/plain', 'abc'],
    ['/raw', 'application/x-www-form-urlencoded', 'a=b'], ['/nowhere', 'application/json', '{}']
  ]
  const answers = []
  for (const [url, type, payload] of requests) {
    const { statusCode, headers, body } = await app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload })
    answers.push([url, payload, statusCode, { ...headers, date: '' }, body])
  }
  return answers
}

t.test('the plugin is registered, serves and closes: handle, server and routes of the host are unchanged', async (t) => {
  for (const mode of ['WAL', 'DELETE']) {
    const file = `${t.testdir()}/contacts.db`
    const database = openFile(t, file, { timeout: 1234 })
    database.pragma(`journal_mode = ${mode}`)
    for (const pragma of ['synchronous = EXTRA', 'foreign_keys = OFF', 'user_version = 77', 'application_id = 5', 'cache_size = -999']) database.pragma(pragma)
    database.defaultSafeIntegers(true)

    const hostWithoutPlugin = createHost(database)
    await hostWithoutPlugin.ready()
    const app = createHost(database)
    t.teardown(async () => { await Promise.all([hostWithoutPlugin.close(), app.close()]) })
    const settings = settingsOf(database)
    const surface = surfaceOf(app)

    const options = Object.freeze({ database, lockTimeout: 100, onContactUpdated () { /* only has to be there */ } })
    await app.register(omnichannelContacts, options)
    t.strictSame(settingsOf(database), settings, `${mode}: after registering, the handle`)
    t.strictSame(surfaceOf(app), surface, `${mode}: after registering, the server`)
    t.strictSame(Object.keys(options), ['database', 'lockTimeout', 'onContactUpdated'])

    await app.ready()
    await fill(sqliteDb(database))
    const payload = { contactId: 'maria', name: 'Marie', emails: ['a@b'], customFields: { plan: 'gold' }, wipeConflicts: true }
    t.equal((await app.inject({ method: 'POST', url: path, headers: as('ann'), payload })).statusCode, 200)
    t.equal((await app.inject({ method: 'POST', url: path, headers: as('ann'), payload: { contactId: 'who' } })).statusCode, 400)
    t.strictSame(await callOwnRoutes(app), await callOwnRoutes(hostWithoutPlugin), `${mode}: the routes of the host`)
    t.strictSame(settingsOf(database), settings, `${mode}: after serving, the handle`)

    await app.close()
    t.strictSame(settingsOf(database), settings, `${mode}: after closing, the handle`)
  }
})

const skip = handleKind === 'node:sqlite' && 'only better-sqlite3 has an unsafe mode'
for (const [name, leavesIteratorOpen] of [['', false], [', and beforeCommit leaves an iterator open', true]] as const) {
  t.test(`a handle in unsafe mode${name}: stays in it, so the host can write while its iterator is open`, { skip }, async (t) => {
    const iterators: Array<Iterator<unknown>> = []
    const openIterator = (handle: Database.Database): void => {
      const iterator = handle.prepare('SELECT id FROM omnichannel_contact').iterate()
      iterator.next()
      iterators.push(iterator)
    }
    const { update, database } = await build(t, {
      beforeCommit: (_event, handle: Database.Database) => { if (leavesIteratorOpen) openIterator(handle) }
    })
    database.unsafeMode(true)
    for (const name of ['Marie', 'Mary']) t.equal((await update({ contactId: 'maria', name })).statusCode, 200)
    openIterator(database)
    t.doesNotThrow(() => { database.exec("INSERT INTO omnichannel_statistic VALUES ('host', 1)") })
    for (const iterator of iterators) iterator.return!()
  })
}

t.test('app.hasPlugin: knows the plugin by its name', async (t) => {
  const { app } = await build(t)
  t.equal(app.hasPlugin('fastify-omnichannel-contacts'), true)
})

t.test('two registrations on one handle: both work, each with its own options', async (t) => {
  const { app, db, update } = await build(t, {
    afterRegister: async (app, { database }) => {
      await app.register(omnichannelContacts, { database, prefix: '/other', authenticate: () => ({ id: 'ann' }), bodyLimit: 100 })
    }
  })
  const updateOther = (payload: object) => app.inject({ method: 'POST', url: '/other/omnichannel/contacts.update', payload })
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  t.equal((await updateOther({ contactId: 'maria', name: 'Mary' })).json().contact.name, 'Mary')
  t.equal((await update({ contactId: 'maria', name: 'M' }, {})).statusCode, 401)
  t.equal((await updateOther({ contactId: 'maria', name: 'M'.repeat(100) })).statusCode, 413)
  const replies = await Promise.all([1, 2, 3, 4].flatMap((number) =>
    [update({ contactId: 'maria', name: `${number}` }), updateOther({ contactId: 'maria', name: `other ${number}` })]))
  t.strictSame(replies.map((reply) => reply.statusCode), Array(8).fill(200))
  t.match(await rowOfMaria(db), { version: 1 + 2 + 8 }, 'ten updates of version 1')
})

t.test('prefix: the path of the route begins with it, after a prefix of the host', async (t) => {
  const situations: Array<[outer: string, options: { prefix?: string }, url: string]> = [
    ['', {}, '/api/v1/omnichannel/contacts.update'],
    ['', { prefix: '' }, '/omnichannel/contacts.update'],
    ['', { prefix: '/' }, '/omnichannel/contacts.update'],
    ['', { prefix: '/chat/' }, '/chat/omnichannel/contacts.update'],
    ['', { prefix: '/v2' }, '/v2/omnichannel/contacts.update'],
    ['/host', {}, '/host/api/v1/omnichannel/contacts.update'],
    ['/host', { prefix: '' }, '/host/omnichannel/contacts.update'],
    ['/host', { prefix: '/v2' }, '/host/v2/omnichannel/contacts.update'],
    ['/:tenant', { prefix: '/v2' }, '/acme/v2/omnichannel/contacts.update']
  ]
  for (const [outer, options, url] of situations) {
    const database = openHandle(':memory:')
    const app = fastify()
    t.teardown(async () => { await app.close(); database.close() })
    await app.register(async (child) => { await child.register(omnichannelContacts, { database, ...options }) }, { prefix: outer })
    await fill(sqliteDb(database))
    const reply = await app.inject({ method: 'POST', url, headers: as('ann'), payload: { contactId: 'maria' } })
    t.equal(reply.statusCode, 200, url)
  }
})

t.test('pragmas that change the column names of results: the same answers', async (t) => {
  const body = { contactId: 'maria', name: 'Marie', emails: ['a@b.c'], customFields: { plan: 'silver' }, contactManager: 'ann', wipeConflicts: true }
  const expected = await (await build(t)).update(body)
  for (const pragmas of [['full_column_names = ON', 'short_column_names = OFF'], ['full_column_names = ON', 'short_column_names = ON'], ['short_column_names = OFF']]) {
    const database = openHandle(':memory:')
    for (const pragma of pragmas) database.pragma(pragma)
    const { update } = await build(t, { database })
    const reply = await update(body)
    t.equal(reply.statusCode, 200, pragmas.join(', '))
    t.strictSame({ ...reply.json().contact, _updatedAt: '' }, { ...expected.json().contact, _updatedAt: '' })
  }
})
