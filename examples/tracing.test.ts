// The spans that a tracer gets.
//
//   npx tap --disable-coverage examples/tracing.test.ts

import { context, createContextKey, trace, type Context, type Span, type SpanOptions, type Tracer } from '@opentelemetry/api'
import { AsyncLocalStorage } from 'node:async_hooks'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp } from './tracing.js'

interface Recorded {
  name: string
  options: SpanOptions
  attributes: object
  status?: object
  ended: boolean
  /** The context that was active when the span began. */
  activeContext: Context
}

const recorded: Recorded[] = []

// Records spans as an SDK does, without its package.
const tracer: Pick<Tracer, 'startSpan'> = {
  startSpan: (name, options = {}) => {
    const span: Recorded = { name, options, attributes: options.attributes ?? {}, ended: false, activeContext: context.active() }
    recorded.push(span)
    const methods = {
      setAttributes: (attributes: object) => {
        span.attributes = JSON.parse(JSON.stringify({ ...span.attributes, ...attributes })) as object
        return methods
      },
      setStatus: (status: object) => {
        span.status = status
        return methods
      },
      end: () => { span.ended = true }
    }
    return methods as unknown as Span
  }
}
trace.setGlobalTracerProvider({ getTracer: () => tracer as Tracer })
t.beforeEach(() => { recorded.length = 0 })

async function open (t: Test) {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  const update = async (body: object) => await app.inject({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' },
    payload: { contactId: 'maria', ...body }
  })
  return { app, database, update }
}

t.test('an update: a span with its outcome, and a span of the commit', async (t) => {
  const { update } = await open(t)
  t.equal((await update({ name: 'Secret' })).statusCode, 200)
  t.match(recorded, [
    {
      name: 'contacts.update', ended: true, status: undefined,
      attributes: { 'db.system.name': 'sqlite', 'omnichannel.outcome': 'committed', 'omnichannel.attempts': 1, 'omnichannel.batch_size': 1 }
    },
    { name: 'COMMIT', ended: true, attributes: { 'omnichannel.updates': 1 }, options: { root: true, startTime: Number } }
  ])
  t.notMatch(JSON.stringify(recorded), /secret|maria|\bann\b/i)
})

t.test('a refused update: the span has the code, and is no error', async (t) => {
  const { update } = await open(t)
  await update({ contactId: 'none' })
  t.match(recorded, [{ status: undefined, attributes: { 'omnichannel.outcome': 'refused', 'omnichannel.code': 'FOC_CONTACT_NOT_FOUND' } }])
})

t.test('an update that fails: the span is an error with the code', async (t) => {
  const { update, database } = await open(t)
  database.exec("CREATE TRIGGER refuse BEFORE UPDATE ON omnichannel_contact BEGIN SELECT RAISE(ABORT, 'secret'); END")
  t.equal((await update({ name: 'A' })).statusCode, 500)
  t.match(recorded, [{ status: { code: 2, message: 'SQLITE_CONSTRAINT_TRIGGER' }, attributes: { 'omnichannel.outcome': 'failed' } }])
})

t.test('the span of the request: active when the span of the update begins', async (t) => {
  const storage = new AsyncLocalStorage<Context>()
  const key = createContextKey('request')
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ({ getValue: () => undefined } as unknown as Context),
    with: (active, run, self, ...args) => storage.run(active, () => run.call(self as ThisParameterType<typeof run>, ...args)),
    bind: (_context, target) => target,
    enable () { return this },
    disable () { return this }
  })
  const { update } = await open(t)
  const contextOfRequest = { getValue: (asked: symbol) => asked === key ? 'mine' : undefined } as unknown as Context
  await context.with(contextOfRequest, async () => await update({ name: 'A' }))
  t.equal(recorded[0]!.activeContext.getValue(key), 'mine')
})
