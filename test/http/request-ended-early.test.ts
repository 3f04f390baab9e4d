// Ends a request in every way, at every point where its update can wait. Before COMMIT nothing is written. From COMMIT on, the update is
// made, and its answer is sent if the connection still allows it.

import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect as connectHttp2, type ClientHttp2Stream } from 'node:http2'
import { connect, type AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { allRows, as, holdMaria, path, type Setup } from '../helpers/build.js'
import t, { engineOf, postgres, type Engine } from '../helpers/engines.js'
import { listen, observe, type Observed, type Reply } from '../helpers/observed.js'
import { backendThatWaits } from '../helpers/postgres.js'
import { catchTimer, handlerTimeout, knownCaller, signal, turns, until } from '../helpers/waiting.js'

const body = { contactId: 'maria', name: 'Marie' }
const overload = { success: false, error: 'Service Unavailable' }
const text = JSON.stringify(overload)
const written = [200, 'Marie']
const theirs = [503, undefined]
const none = undefined

interface Way {
  setup?: Setup
  end: (reply: FastifyReply, sent: { destroy: () => void }, expire: () => void) => unknown
  /** The answer if the request is ended before COMMIT, and if it is ended later. */
  answers: [before: unknown, after: unknown]
}
/** Ends the slow hooks of the host once the update is over. */
let isOver = signal()
const slow = (hook: 'onSend' | 'onError', server: Setup['server'] = {}): Setup => ({
  server, host: (app) => { app.addHook(hook as 'onSend', async () => { await isOver.fired }) }
})
const ways: Record<string, Way> = {
  'reply.send': { end: (reply) => reply.code(503).send(text), answers: [theirs, written] },
  'reply.send with an error': { end: (reply) => reply.send(Object.assign(new Error('mine'), { statusCode: 503 })), answers: [theirs, written] },
  'reply.send while an onSend hook of the host takes its time': {
    setup: slow('onSend'), end: (reply) => reply.code(503).send(text), answers: [theirs, written]
  },
  'reply.raw.end': { end: (reply) => reply.raw.writeHead(503).end(text), answers: [theirs, theirs] },
  'reply.raw.writeHead without an end': {
    end: (reply) => {
      reply.raw.writeHead(503).write(text)
      void isOver.fired.then(() => { reply.raw.end() })
    },
    answers: [theirs, none]
  },
  'reply.hijack': { end: (reply) => reply.hijack().raw.writeHead(503).end(text), answers: [theirs, theirs] },
  'reply.raw.destroy': { end: (reply) => { reply.raw.destroy() }, answers: [none, none] },
  'the client disconnects': { end: (_reply, sent) => { sent.destroy() }, answers: [none, none] },
  handlerTimeout: { setup: { server: { handlerTimeout } }, end: (_reply, _sent, expire) => { expire() }, answers: [theirs, written] },
  'handlerTimeout while an onError hook of the host takes its time': {
    setup: slow('onError', { handlerTimeout }), end: (_reply, _sent, expire) => { expire() }, answers: [theirs, written]
  },
  'handlerTimeout while an onSend hook of the host takes its time': {
    setup: slow('onSend', { handlerTimeout }), end: (_reply, _sent, expire) => { expire() }, answers: [theirs, written]
  }
}

interface Point {
  engines: Engine[]
  setup?: Setup
  /** How often beforeCommit is called. */
  calls: number
  /** Resolves once the update waits. */
  reach: (world: Observed) => Promise<unknown>
  isAfterCommit?: boolean
}
let going = signal()
let entered = signal()
const isBlocked = async ({ db }: Observed): Promise<unknown> => await backendThatWaits(db)
const points: Record<string, Point> = {
  'in the queue, behind a transaction of the host': {
    engines: ['sqlite', 'node-sqlite'], setup: knownCaller, calls: 0, reach: async () => { await turns(5) }
  },
  'for a client of the pool': {
    engines: ['postgres'], setup: { ...knownCaller, pool: { max: 1 } }, calls: 0, reach: async () => { await turns(20) }
  },
  'for the lock of the row': { engines: ['postgres'], calls: 0, reach: isBlocked },
  'for beforeCommit': {
    engines: ['postgres'], calls: 1, setup: { beforeCommit: async () => { entered.fire(); await going.fired } },
    reach: async () => { await entered.fired }
  },
  'for COMMIT': { engines: ['postgres'], calls: 1, isAfterCommit: true, reach: isBlocked }
}

/** Lets the update go on that waits at this point. */
async function goOn (point: string, { db }: Observed): Promise<void> {
  if (point === 'for beforeCommit') going.fire()
  else await db.exec('COMMIT')
}

/** Makes the next update wait at this point. */
async function prepare (point: string, { db, update }: Observed): Promise<void> {
  [going, entered, isOver] = [signal(), signal(), signal()]
  if (point.startsWith('in the queue')) await db.exec('BEGIN')
  if (point === 'for the lock of the row') await holdMaria(db)
  if (point === 'for a client of the pool') {
    await db.exec("BEGIN; UPDATE omnichannel_contact SET name = name WHERE id = 'blank'")
    void update({ contactId: 'blank', phones: ['1'] })
  }
  if (point !== 'for COMMIT') return
  await db.exec(`
    CREATE FUNCTION host_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext(current_schema())); RETURN NEW; END $$;
    CREATE CONSTRAINT TRIGGER host AFTER UPDATE ON omnichannel_contact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION host_work()`)
  await db.exec('BEGIN; SELECT pg_advisory_xact_lock(hashtext(current_schema()))')
}

const summary = (reply: Reply | undefined): unknown => reply && [reply.status, (reply.body as { contact?: { name: string } }).contact?.name]
const maria = async ({ db }: Observed): Promise<unknown> => await db.row("SELECT * FROM omnichannel_contact WHERE id = 'maria'")

async function start (t: Test, point: string, way: Way): Promise<Observed & { replies: FastifyReply[] }> {
  const replies: FastifyReply[] = []
  const world = await observe(t, {
    ...points[point]!.setup, ...way.setup,
    pool: { ...points[point]!.setup?.pool },
    host: async (app, opened) => {
      await way.setup?.host?.(app, opened)
      app.addHook('preHandler', async (request, reply) => { if ((request.body as { contactId: string }).contactId === 'maria') replies.push(reply) })
    }
  })
  return { ...world, replies }
}

/** Sends without a socket. Over one, Fastify 5.10 clears the timer of `handlerTimeout` once it has read the body. */
function inject ({ update }: Observed): { sent: { destroy: () => void }, reply: Promise<Reply> } {
  const reply = update(body, { ...as('ann'), 'idempotency-key': 'k' })
    .then((answer) => ({ status: answer.statusCode, headers: answer.headers, body: answer.json<unknown>() }))
  return { sent: { destroy: () => undefined }, reply }
}

for (const [point, { calls, reach, isAfterCommit = false, engines }] of Object.entries(points)) {
  for (const [name, way] of Object.entries(ways)) {
    t.test(`${name} while the update waits ${point}: ${isAfterCommit ? 'the update is made' : 'nothing is written'}`, async (t) => {
      if (!engines.includes(engineOf(t))) return
      const lastTimer = catchTimer(t)
      const world = await start(t, point, way)
      const post = await listen(world)
      await prepare(point, world)
      const before = await maria(world)
      const { sent, reply } = name.startsWith('handlerTimeout') ? inject(world) : post(body, { 'idempotency-key': 'k' })
      await reach(world)
      await until(() => world.replies.length > 0)
      // Not awaited: a reply is a thenable that waits for its answer.
      way.end(world.replies[0]!, sent, lastTimer())
      await turns(5)
      await goOn(point, world)
      const { id } = world.replies[0]!.request
      const refusals = () => world.lines.filter(({ msg, reqId }) => reqId === id && msg.includes('was not made')).length
      const ofMaria = (events: Array<{ contact: { _id: string } }>) => events.filter(({ contact }) => contact._id === 'maria').length
      await until(() => isAfterCommit ? ofMaria(world.notified) > 0 : refusals() > 0)
      isOver.fire()
      t.strictSame(summary(await reply), way.answers[isAfterCommit ? 1 : 0])
      await world.app.close()
      t.strictSame(await world.leftovers(), {})
      if (isAfterCommit) t.match(await maria(world), { name: 'Marie', version: 2 })
      else t.strictSame(await maria(world), before)
      t.equal((await allRows(world.db)).omnichannel_idempotency_key!.length, isAfterCommit ? 1 : 0)
      t.strictSame([ofMaria(world.called), ofMaria(world.notified)], [calls, isAfterCommit ? 1 : 0])
      t.equal(refusals(), isAfterCommit ? 0 : 1)
    })
  }

  t.test(`the server closes while the update waits ${point}: it is made and answered`, async (t) => {
    if (!engines.includes(engineOf(t))) return
    const world = await start(t, point, { end: () => undefined, answers: [written, written] })
    const post = await listen(world)
    await prepare(point, world)
    const { reply } = post(body)
    await reach(world)
    let isClosed = false
    const closing = world.app.close().then(() => { isClosed = true })
    await turns(10)
    t.equal(isClosed, false)
    await goOn(point, world)
    t.strictSame(summary(await reply), written)
    await closing
    t.match(await maria(world), { name: 'Marie', version: 2 })
    t.strictSame([await world.leftovers(), world.complaints()], [{}, []])
  })
}

async function isWaiting (t: Test, { db }: Observed): Promise<void> {
  if (engineOf(t) === 'postgres') await backendThatWaits(db)
  else await turns(20)
}

const resets: Record<string, (stream: ClientHttp2Stream) => void> = {
  'its stream is reset': (stream) => { stream.close(8) },
  'its stream is destroyed': (stream) => { stream.destroy() },
  'its session is destroyed': (stream) => { stream.session!.destroy() }
}
for (const [name, reset] of Object.entries(resets)) {
  t.test(`HTTP/2: ${name} while the update waits: nothing is written, and the log says so once`, async (t) => {
    const world = await observe(t, { ...knownCaller, server: { http2: true } as Setup['server'] & object })
    await world.app.listen({ host: '127.0.0.1', port: 0 })
    const client = connectHttp2(`http://127.0.0.1:${(world.app.server.address() as AddressInfo).port}`)
    client.on('error', () => undefined)
    t.teardown(() => { client.destroy() })
    const post = (headers: object): ClientHttp2Stream => {
      const stream = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json', ...as('ann'), ...headers })
      stream.on('error', () => undefined)
      stream.end(JSON.stringify(body))
      return stream
    }
    await holdMaria(world.db)
    const before = await allRows(world.db)
    const stream = post({ 'idempotency-key': 'k' })
    await isWaiting(t, world)
    reset(stream)
    await turns(20)
    await world.db.exec('COMMIT')
    await turns(40)
    t.strictSame(await allRows(world.db), before)
    t.strictSame([world.called, world.notified, await world.leftovers(), world.complaints()], [[], [], {}, []])
    t.equal(world.lines.filter(({ msg }) => msg.includes('was not made')).length, 1)
    if (!name.startsWith('its stream')) return
    const again = post({ 'idempotency-key': 'k' })
    const [headers] = await new Promise<[Record<string, unknown>]>((resolve) => again.once('response', (...all) => { resolve(all as never) }))
    t.strictSame([headers[':status'], headers.etag], [200, '"2"'])
    again.resume()
    await new Promise((resolve) => again.once('close', resolve))
    client.close()
  })
}

t.test('HTTP/1: a connection with several waiting requests is cut: none of the updates is made', async (t) => {
  const world = await observe(t, knownCaller)
  await world.app.listen({ host: '127.0.0.1', port: 0 })
  await holdMaria(world.db)
  const before = await allRows(world.db)
  const socket = connect((world.app.server.address() as AddressInfo).port, '127.0.0.1')
  const payload = JSON.stringify(body)
  const one = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${payload.length}\r\n\r\n${payload}`
  socket.write(one.repeat(3))
  await isWaiting(t, world)
  await turns(20)
  socket.destroy()
  await turns(20)
  await world.db.exec('COMMIT')
  await turns(40)
  t.strictSame(await allRows(world.db), before)
  t.strictSame([world.called, world.notified, await world.leftovers(), world.complaints()], [[], [], {}, []])
  t.equal(world.lines.filter(({ msg }) => msg.includes('was not made')).length, 3)
})

postgres.test('beforeCommit never ends and the client disconnects: the server can close', async (t) => {
  const world = await observe(t, { lockTimeout: 1000, beforeCommit: async () => await new Promise(() => undefined) })
  const before = await allRows(world.db)
  const { sent, reply } = (await listen(world))(body)
  await until(() => world.called.length > 0)
  sent.destroy()
  t.equal(await reply, undefined)
  await world.app.close()
  t.strictSame([await allRows(world.db), world.notified, await world.leftovers()], [before, [], {}])
})

const duringOnSend: Record<string, (reply: FastifyReply, expire: () => void) => void> = {
  handlerTimeout: (_reply, expire) => { expire() },
  'an answer of the host': (reply) => { void reply.code(503).send(text) }
}
const successes = { 'a written update': { request: body, name: 'Marie', version: 2 }, 'a read': { request: { contactId: 'maria' }, name: 'Maria', version: 1 } }
for (const [name, end] of Object.entries(duringOnSend)) {
  for (const [success, { request, ...contact }] of Object.entries(successes)) {
    t.test(`${name} comes while an onSend hook delays the answer of ${success}: that answer is sent`, async (t) => {
      const lastTimer = catchTimer(t)
      let isLate = false
      const { update, db, complaints } = await observe(t, {
        server: { handlerTimeout },
        host: (app) => {
          app.addHook('onSend', async (_request, reply) => {
            if (!isLate) end(reply, lastTimer())
            isLate = true
            await turns(5)
          })
        }
      })
      const reply = await update(request)
      t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag, isLate], [200, contact.name, `"${contact.version}"`, true])
      t.match((await allRows(db)).omnichannel_contact, [{}, {}, contact])
      t.strictSame(complaints(), [])
    })
  }
}

t.test('handlerTimeout expires before the body has arrived: nothing is written', async (t) => {
  const lastTimer = catchTimer(t)
  const begun = signal()
  const { app, db, leftovers } = await observe(t, {
    server: { handlerTimeout }, host: (app) => { app.addHook('preParsing', async () => { begun.fire() }) }
  })
  const before = await allRows(db)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const sent = request({
    host: '127.0.0.1', port: (app.server.address() as AddressInfo).port, path, method: 'POST', headers: { ...as('ann'), 'content-type': 'application/json' }, agent: false
  })
  sent.write('{"contactId":"maria",')
  await begun.fired
  lastTimer()()
  sent.end('"name":"Marie"}')
  const [reply] = await once(sent, 'response')
  reply.resume()
  t.equal(reply.statusCode, 503)
  await app.close()
  t.strictSame([await allRows(db), await leftovers()], [before, {}])
})

t.test('an update that ends before handlerTimeout: written and answered', async (t) => {
  const world = await observe(t, { server: { handlerTimeout } })
  t.match(await (await listen(world))(body).reply, { status: 200 })
  t.equal((await world.update({ contactId: 'maria', name: 'Mia' })).statusCode, 200)
  t.match((await allRows(world.db)).omnichannel_contact, [{}, {}, { name: 'Mia', version: 3 }])
})
