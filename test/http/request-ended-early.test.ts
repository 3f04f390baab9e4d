// Ends a request in every way, at every point where its update can wait. Before COMMIT nothing is written. From COMMIT on, the update is
// made, and its answer is sent if the connection still allows it.

import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect as connectHttp2, constants, type ClientHttp2Stream } from 'node:http2'
import { connect, type AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { allRows, as, build, lockMaria, path, rowOfMaria, type Setup } from '../helpers/test-server.js'
import t, { engineOf, postgres, type Engine } from '../helpers/engines.js'
import { listen, observe, type Observed, type Reply } from '../helpers/observed-server.js'
import { backendThatWaits } from '../helpers/postgres.js'
import { handlerTimeout, hostUsers, replaceHandlerTimeout, signal, waitTurns, until } from '../helpers/waiting.js'

const body = { contactId: 'maria', name: 'Marie' }
const bodyOfHost = JSON.stringify({ success: false, error: 'Service Unavailable' })

/** What the client gets: the status and the name of the contact, or no answer. */
type Answer = [status: number, name: string | undefined] | undefined
const answerOfUpdate: Answer = [200, 'Marie']
const answerOfHost: Answer = [503, undefined]

/** The request that is ended. */
interface Ended {
  reply: FastifyReply
  client: { destroy: () => void }
  /** Lets the `handlerTimeout` expire. */
  expire: () => void
}

/** A way to end a request. */
interface Ending {
  setup?: Setup
  end: (request: Ended) => unknown
  answers: { beforeCommit: Answer, afterCommit: Answer }
  /** Fastify 5.10 clears the timer of `handlerTimeout` once it has read a body from a socket. */
  withoutSocket?: boolean
}

/** Adds a hook of the host that takes until the update is over. */
const slowHook = (hook: 'onSend' | 'onError', updateIsOver: Promise<void>): Setup => ({
  host: (app) => { app.addHook(hook as 'onSend', async () => { await updateIsOver }) }
})

const endings: Record<string, (updateIsOver: Promise<void>) => Ending> = {
  'reply.send': () => ({
    end: ({ reply }) => reply.code(503).send(bodyOfHost),
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfUpdate }
  }),
  'reply.send with an error': () => ({
    end: ({ reply }) => reply.send(Object.assign(new Error('of the host'), { statusCode: 503 })),
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfUpdate }
  }),
  'reply.send, with a slow onSend hook,': (updateIsOver) => ({
    setup: slowHook('onSend', updateIsOver),
    end: ({ reply }) => reply.code(503).send(bodyOfHost),
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfUpdate }
  }),
  'reply.raw.end': () => ({
    end: ({ reply }) => reply.raw.writeHead(503).end(bodyOfHost),
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfHost }
  }),
  'reply.raw.writeHead, which is ended after the update,': (updateIsOver) => ({
    end: ({ reply }) => {
      reply.raw.writeHead(503).write(bodyOfHost)
      void updateIsOver.then(() => { reply.raw.end() })
    },
    answers: { beforeCommit: answerOfHost, afterCommit: undefined }
  }),
  'reply.hijack': () => ({
    end: ({ reply }) => reply.hijack().raw.writeHead(503).end(bodyOfHost),
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfHost }
  }),
  'reply.raw.destroy': () => ({
    end: ({ reply }) => { reply.raw.destroy() },
    answers: { beforeCommit: undefined, afterCommit: undefined }
  }),
  'the client disconnects': () => ({
    end: ({ client }) => { client.destroy() },
    answers: { beforeCommit: undefined, afterCommit: undefined }
  }),
  handlerTimeout: () => ({
    setup: { server: { handlerTimeout } },
    withoutSocket: true,
    end: ({ expire }) => { expire() },
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfUpdate }
  }),
  'handlerTimeout, with a slow onError hook,': (updateIsOver) => ({
    setup: { ...slowHook('onError', updateIsOver), server: { handlerTimeout } },
    withoutSocket: true,
    end: ({ expire }) => { expire() },
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfUpdate }
  }),
  'handlerTimeout, with a slow onSend hook,': (updateIsOver) => ({
    setup: { ...slowHook('onSend', updateIsOver), server: { handlerTimeout } },
    withoutSocket: true,
    end: ({ expire }) => { expire() },
    answers: { beforeCommit: answerOfHost, afterCommit: answerOfUpdate }
  })
}

/** A point where an update can wait. */
interface Point {
  engines: Engine[]
  setup?: Setup
  /** Makes the next update of maria wait here. */
  block: (testServer: Observed) => Promise<unknown>
  /** Resolves once that update waits. */
  reach: (testServer: Observed) => Promise<unknown>
  /** Lets that update go on. */
  unblock: (testServer: Observed) => unknown
  /** How often that update calls `beforeCommit`, if it is ended here. */
  beforeCommitCalls: 0 | 1
  isAfterCommit?: boolean
}

const commit = async ({ db }: Observed): Promise<void> => { await db.exec('COMMIT') }
const waitForBackend = async ({ db }: Observed): Promise<unknown> => await backendThatWaits(db)
/** Takes an advisory lock that only this test uses. */
const lockOfTest = 'pg_advisory_xact_lock(hashtext(current_schema()))'

const points: Record<string, () => Point> = {
  'in the queue, behind a transaction of the host': () => ({
    engines: ['sqlite', 'node-sqlite'],
    setup: hostUsers,
    block: async ({ db }) => { await db.exec('BEGIN') },
    reach: async () => { await waitTurns(5) },
    unblock: commit,
    beforeCommitCalls: 0
  }),
  'for a client of the pool': () => ({
    engines: ['postgres'],
    setup: { ...hostUsers, pool: { max: 1 } },
    // Another update has the only client, and waits for a row that the host has locked.
    block: async ({ db, update }) => {
      await db.exec("BEGIN; UPDATE omnichannel_contact SET name = name WHERE id = 'blank'")
      void update({ contactId: 'blank', phones: ['1'] })
    },
    reach: async () => { await waitTurns(20) },
    unblock: commit,
    beforeCommitCalls: 0
  }),
  'for the lock of the row': () => ({
    engines: ['postgres'],
    block: async ({ db }) => { await lockMaria(db) },
    reach: waitForBackend,
    unblock: commit,
    beforeCommitCalls: 0
  }),
  'for beforeCommit': () => {
    const [isCalled, mayReturn] = [signal(), signal()]
    return {
      engines: ['postgres'],
      setup: { beforeCommit: async () => { isCalled.fire(); await mayReturn.fired } },
      block: async () => undefined,
      reach: async () => { await isCalled.fired },
      unblock: mayReturn.fire,
      beforeCommitCalls: 1
    }
  },
  'for COMMIT': () => ({
    engines: ['postgres'],
    // A deferred trigger runs in COMMIT. It waits for a lock that the host holds.
    block: async ({ db }) => {
      await db.exec(`
        CREATE FUNCTION wait_for_host() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM ${lockOfTest}; RETURN NEW; END $$;
        CREATE CONSTRAINT TRIGGER wait_for_host AFTER UPDATE ON omnichannel_contact DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION wait_for_host()`)
      await db.exec(`BEGIN; SELECT ${lockOfTest}`)
    },
    reach: waitForBackend,
    unblock: commit,
    beforeCommitCalls: 1,
    isAfterCommit: true
  })
}

/** Starts a server. `replies` collects Fastify's replies to requests for maria. */
async function start (t: Test, point: Point, { host, ...setup }: Setup = {}): Promise<Observed & { replies: FastifyReply[] }> {
  const replies: FastifyReply[] = []
  const testServer = await observe(t, {
    ...point.setup,
    ...setup,
    host: async (app, opened) => {
      await host?.(app, opened)
      app.addHook('preHandler', async (request, reply) => { if ((request.body as { contactId: string }).contactId === 'maria') replies.push(reply) })
    }
  })
  return { ...testServer, replies }
}

/** Sends the request without a socket, in the form in which `listen` sends one. */
function inject ({ update }: Observed, headers: object): { client: { destroy: () => void }, reply: Promise<Reply> } {
  const reply = update(body, { ...as('ann'), ...headers })
    .then((answer) => ({ status: answer.statusCode, headers: answer.headers, body: answer.json<unknown>() }))
  return { client: { destroy: () => undefined }, reply }
}

const toAnswer = (reply: Reply | undefined): Answer => reply && [reply.status, (reply.body as { contact?: { name: string } }).contact?.name]
const countOfMaria = (events: Array<{ contact: { _id: string } }>): number => events.filter(({ contact }) => contact._id === 'maria').length

for (const [pointName, createPoint] of Object.entries(points)) {
  const { engines, isAfterCommit = false } = createPoint()

  for (const [endingName, createEnding] of Object.entries(endings)) {
    t.test(`${endingName} while the update waits ${pointName}: ${isAfterCommit ? 'the update is made' : 'nothing is written'}`, async (t) => {
      const updateIsOver = signal()
      const point = createPoint()
      const { setup, end, answers, withoutSocket = false } = createEnding(updateIsOver.fired)
      const expire = replaceHandlerTimeout(t)
      const testServer = await start(t, point, setup)
      const { db, replies, lines, eventsBeforeCommit, eventsAfterCommit } = testServer
      const post = await listen(testServer)
      await point.block(testServer)
      const before = await rowOfMaria(db)

      const keyed = { 'idempotency-key': 'k' }
      const { client, reply: answered } = withoutSocket ? inject(testServer, keyed) : post(body, keyed)
      await point.reach(testServer)
      await until(() => replies.length > 0)
      const reply = replies[0]!
      // Not awaited: a reply is a thenable that waits for its answer.
      end({ reply, client, expire })
      await waitTurns(5)
      await point.unblock(testServer)
      const countRefusals = (): number => lines.filter(({ msg, reqId }) => reqId === reply.request.id && msg.includes('was not made')).length
      await until(() => isAfterCommit ? countOfMaria(eventsAfterCommit) > 0 : countRefusals() > 0)
      updateIsOver.fire()

      t.strictSame(toAnswer(await answered), isAfterCommit ? answers.afterCommit : answers.beforeCommit)
      await testServer.app.close()
      t.strictSame(await testServer.leftovers(), {})
      if (isAfterCommit) t.match(await rowOfMaria(db), { name: 'Marie', version: 2 })
      else t.strictSame(await rowOfMaria(db), before)
      t.equal((await allRows(db)).omnichannel_idempotency_key!.length, isAfterCommit ? 1 : 0, 'stored answers')
      t.strictSame([countOfMaria(eventsBeforeCommit), countOfMaria(eventsAfterCommit)], [point.beforeCommitCalls, isAfterCommit ? 1 : 0], 'calls of the hooks')
      t.equal(countRefusals(), isAfterCommit ? 0 : 1, 'lines of the log')
    }, engines)
  }

  t.test(`the server closes while the update waits ${pointName}: it is made and answered`, async (t) => {
    const point = createPoint()
    const testServer = await start(t, point)
    const post = await listen(testServer)
    await point.block(testServer)
    const { reply } = post(body)
    await point.reach(testServer)
    let isClosed = false
    const closing = testServer.app.close().then(() => { isClosed = true })
    await waitTurns(10)
    t.equal(isClosed, false)
    await point.unblock(testServer)
    t.strictSame(toAnswer(await reply), answerOfUpdate)
    await closing
    t.match(await rowOfMaria(testServer.db), { name: 'Marie', version: 2 })
    t.strictSame([await testServer.leftovers(), testServer.warningTexts()], [{}, []])
  }, engines)
}

/** Resolves once an update waits for the lock of maria. */
async function waitForUpdate (t: Test, { db }: Observed): Promise<void> {
  if (engineOf(t) === 'postgres') await backendThatWaits(db)
  else await waitTurns(20)
}

const resets: Record<string, { reset: (stream: ClientHttp2Stream) => void, endsSession?: boolean }> = {
  'its stream is reset': { reset: (stream) => { stream.close(constants.NGHTTP2_CANCEL) } },
  'its stream is destroyed': { reset: (stream) => { stream.destroy() } },
  'its session is destroyed': { reset: (stream) => { stream.session!.destroy() }, endsSession: true }
}
for (const [name, { reset, endsSession = false }] of Object.entries(resets)) {
  t.test(`HTTP/2: ${name} while the update waits: nothing is written, and the log says so once`, async (t) => {
    const testServer = await observe(t, { ...hostUsers, server: { http2: true } as Setup['server'] & object })
    await testServer.app.listen({ host: '127.0.0.1', port: 0 })
    const client = connectHttp2(`http://127.0.0.1:${(testServer.app.server.address() as AddressInfo).port}`)
    client.on('error', () => undefined)
    t.teardown(() => { client.destroy() })
    const post = (headers: object): ClientHttp2Stream => {
      const stream = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json', ...as('ann'), ...headers })
      stream.on('error', () => undefined)
      stream.end(JSON.stringify(body))
      return stream
    }
    await lockMaria(testServer.db)
    const before = await allRows(testServer.db)
    const stream = post({ 'idempotency-key': 'k' })
    await waitForUpdate(t, testServer)
    reset(stream)
    await waitTurns(20)
    await testServer.db.exec('COMMIT')
    await waitTurns(40)
    t.strictSame(await allRows(testServer.db), before)
    t.strictSame([testServer.eventsBeforeCommit, testServer.eventsAfterCommit], [[], []])
    t.strictSame([await testServer.leftovers(), testServer.warningTexts()], [{}, []])
    t.equal(testServer.lines.filter(({ msg }) => msg.includes('was not made')).length, 1)
    if (endsSession) return
    const secondStream = post({ 'idempotency-key': 'k' })
    const [headers] = await once(secondStream, 'response') as [Record<string, unknown>]
    t.strictSame([headers[':status'], headers.etag], [200, '"2"'], 'the same session can send the request again')
    secondStream.resume()
    await once(secondStream, 'close')
    client.close()
  })
}

t.test('HTTP/1: a connection with several waiting requests is cut: none of the updates is made', async (t) => {
  const testServer = await observe(t, hostUsers)
  await testServer.app.listen({ host: '127.0.0.1', port: 0 })
  await lockMaria(testServer.db)
  const before = await allRows(testServer.db)
  const socket = connect((testServer.app.server.address() as AddressInfo).port, '127.0.0.1')
  const payload = JSON.stringify(body)
  const message = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${payload.length}\r\n\r\n${payload}`
  socket.write(message.repeat(3))
  await waitForUpdate(t, testServer)
  await waitTurns(20)
  socket.destroy()
  await waitTurns(20)
  await testServer.db.exec('COMMIT')
  await waitTurns(40)
  t.strictSame(await allRows(testServer.db), before)
  t.strictSame([testServer.eventsBeforeCommit, testServer.eventsAfterCommit], [[], []])
  t.strictSame([await testServer.leftovers(), testServer.warningTexts()], [{}, []])
  t.equal(testServer.lines.filter(({ msg }) => msg.includes('was not made')).length, 3)
})

postgres.test('during COMMIT, the host checks whether the reply was sent: true, so the answer is that of the update', async (t) => {
  let hostReply: FastifyReply | undefined
  const { update, db } = await build(t, { host: (app) => { app.addHook('onRequest', async (_request, reply) => { hostReply = reply }) } })
  // COMMIT waits for this lock.
  await db.exec(`CREATE TABLE held (); CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN LOCK TABLE held; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON omnichannel_contact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`)
  await db.exec('BEGIN; LOCK TABLE held')
  const answered = update({ contactId: 'maria', name: 'Marie' })
  await backendThatWaits(db)
  const wasSent = hostReply?.sent
  await db.exec('COMMIT')
  t.equal((await answered).statusCode, 200)
  t.equal(wasSent, true)
  t.match(await rowOfMaria(db), { name: 'Marie' })
})

postgres.test('beforeCommit never ends and the client disconnects: the server can close', async (t) => {
  const testServer = await observe(t, { lockTimeout: 1000, beforeCommit: async () => await new Promise(() => undefined) })
  const before = await allRows(testServer.db)
  const { client, reply } = (await listen(testServer))(body)
  await until(() => testServer.eventsBeforeCommit.length > 0)
  client.destroy()
  t.equal(await reply, undefined)
  await testServer.app.close()
  t.strictSame([await allRows(testServer.db), testServer.eventsAfterCommit, await testServer.leftovers()], [before, [], {}])
})

/** What comes too late, because the update has its answer already. */
const lateEndings: Record<string, (reply: FastifyReply, expire: () => void) => void> = {
  handlerTimeout: (_reply, expire) => { expire() },
  'an answer of the host': (reply) => { void reply.code(503).send(bodyOfHost) }
}
const requests = { 'an update': { sent: body, name: 'Marie', version: 2 }, 'a read': { sent: { contactId: 'maria' }, name: 'Maria', version: 1 } }
for (const [endingName, end] of Object.entries(lateEndings)) {
  for (const [requestName, { sent, ...contact }] of Object.entries(requests)) {
    t.test(`${endingName} comes while an onSend hook delays the answer to ${requestName}: that answer is sent`, async (t) => {
      const expire = replaceHandlerTimeout(t)
      let hasEnded = false
      const { update, db, warningTexts } = await observe(t, {
        server: { handlerTimeout },
        host: (app) => {
          app.addHook('onSend', async (_request, reply) => {
            if (!hasEnded) end(reply, expire)
            hasEnded = true
            await waitTurns(5)
          })
        }
      })
      const reply = await update(sent)
      t.equal(hasEnded, true)
      t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, contact.name, `"${contact.version}"`])
      t.match(await rowOfMaria(db), contact)
      t.strictSame(warningTexts(), [])
    })
  }
}

t.test('handlerTimeout expires before the body has arrived: nothing is written', async (t) => {
  const expire = replaceHandlerTimeout(t)
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
  expire()
  sent.end('"name":"Marie"}')
  const [reply] = await once(sent, 'response')
  reply.resume()
  t.equal(reply.statusCode, 503)
  await app.close()
  t.strictSame([await allRows(db), await leftovers()], [before, {}])
})

t.test('an update that ends before handlerTimeout: written and answered', async (t) => {
  const testServer = await observe(t, { server: { handlerTimeout } })
  t.match(await (await listen(testServer))(body).reply, { status: 200 })
  t.equal((await testServer.update({ contactId: 'maria', name: 'Mia' })).statusCode, 200)
  t.match(await rowOfMaria(testServer.db), { name: 'Mia', version: 3 })
})

for (const hook of ['preParsing', 'preValidation', 'preHandler']) {
  t.test(`a ${hook} hook answers and lets the request go on, with a slow onSend hook: its answer is sent, and nothing is written`, async (t) => {
    const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts } = await observe(t, {
      host: (app) => {
        app.addHook('onSend', async () => { await waitTurns(20) })
        // It should return the reply.
        app.addHook(hook as 'preHandler', async (_request, reply) => { void reply.code(403).send({ refused: true }) })
      }
    })
    const before = await allRows(db)
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json()], [403, { refused: true }])
    await waitTurns(20)
    t.strictSame([await allRows(db), eventsBeforeCommit, eventsAfterCommit, warningTexts()], [before, [], [], []])
  })
}
