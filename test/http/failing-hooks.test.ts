// Hooks of the host fail while an answer is sent: each request is answered, and the server can close.

import type { FastifyInstance } from 'fastify'
import { Agent, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { allRows, as, lockMaria, path, rowOfMaria, type Setup, type TestServer } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { observe } from '../helpers/observed-server.js'
import { forbidden, internalServerError, unauthorized } from '../helpers/refusals.js'
import { hostUsers } from '../helpers/waiting.js'

/** Adds a hook that fails at an answer with a status, if `fails` returns true for it. */
type AddHook = (app: FastifyInstance, fails: (status: number) => boolean) => void

/** An error with a status and a code that must not get into an answer. */
const misleadingError = (): Error => Object.assign(new Error('of the host'), { statusCode: 418, code: 'FOC_FORBIDDEN' })

const onSendHooks: Record<string, AddHook> = {
  'an async onSend that throws': (app, fails) => { app.addHook('onSend', async (_request, reply) => { if (fails(reply.statusCode)) throw misleadingError() }) },
  'an onSend that rejects later': (app, fails) => {
    app.addHook('onSend', async (_request, reply) => {
      await new Promise(setImmediate)
      if (fails(reply.statusCode)) throw misleadingError()
    })
  },
  'an onSend that throws': (app, fails) => {
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (fails(reply.statusCode)) throw misleadingError()
      done(null, payload)
    })
  },
  'an onSend that calls back with an error': (app, fails) => {
    app.addHook('onSend', (_request, reply, payload, done) => { done(fails(reply.statusCode) ? misleadingError() as never : null, payload) })
  },
  'an onSend that throws null': (app, fails) => {
    app.addHook('onSend', async (_request, reply) => { if (fails(reply.statusCode)) throw null })
  },
  'an onSend that throws an error that cannot be logged': (app, fails) => {
    const error = Object.defineProperty(new Error('of the host'), 'stack', { get: () => { throw new Error('of the getter') } })
    app.addHook('onSend', async (_request, reply) => { if (fails(reply.statusCode)) throw error })
  },
  'an onSend that throws an error that cannot be read': (app, fails) => {
    const error = new Proxy(new Error('of the host'), { get: () => { throw new Error('of the proxy') } })
    app.addHook('onSend', async (_request, reply) => { if (fails(reply.statusCode)) throw error })
  },
  'an onSend that returns an object': (app, fails) => {
    app.addHook('onSend', async (_request, reply, payload) => fails(reply.statusCode) ? { not: 'a text' } : payload)
  }
}

interface Request { status: number, setup?: Setup, headers?: Record<string, string>, text?: string, isBlocked?: boolean }

/** Requests, and the status with which each would be answered. */
const requests: Record<string, Request> = {
  'an update': { status: 200 },
  'an unknown contact': { status: 400, text: '{"contactId":"who"}' },
  'half a JSON object': { status: 400, text: '{' },
  'a wrong token': { status: 401, headers: { 'x-auth-token': 'wrong' } },
  'no permission': { status: 403, headers: as('nick') },
  'too large a body': { status: 413, text: JSON.stringify({ contactId: 'x'.repeat(2000) }) },
  'an outdated entity tag': { status: 412, headers: { 'if-match': '"7"' } },
  'a locked contact': { status: 503, setup: hostUsers, isBlocked: true }
}
const body = '{"contactId":"maria","name":"Marie"}'

async function start (t: Test, addHooks: (app: FastifyInstance) => void, setup: Setup = {}) {
  return await observe(t, { bodyLimit: 1000, lockTimeout: 1000, ...setup, host: addHooks })
}

function checkHeaders (t: Test, headers: object): void {
  t.match(headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
}

for (const [hookName, addHook] of Object.entries(onSendHooks)) {
  for (const [requestName, { status, setup, headers = {}, text = body, isBlocked = false }] of Object.entries(requests)) {
    for (const times of ['each time', 'once']) {
      t.test(`${hookName}, ${times}, at the ${status} for ${requestName}: 500, and the rows are as after a ${status}`, async (t) => {
        let calls = 0
        const fails = (): boolean => times === 'each time' || calls++ === 0
        const { app, post, db, warnings } = await start(t, (app) => { addHook(app, fails) }, setup)
        const before = await allRows(db)
        if (isBlocked) await lockMaria(db)
        const reply = await post(text, headers)
        if (isBlocked) await db.exec('ROLLBACK')
        t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
        checkHeaders(t, reply.headers)
        t.equal(reply.headers.etag, undefined)
        t.equal(warnings().at(-1)?.level, 50, 'an error is logged')
        if (status === 200) t.match(await rowOfMaria(db), { name: 'Marie', version: 2 })
        else t.strictSame(await allRows(db), before)
        await app.close()
      })
    }
  }

  t.test(`${hookName}, on a keep-alive connection: each request is answered, and the server closes`, async (t) => {
    let isFailing = true
    const testServer = await start(t, (app) => { addHook(app, () => isFailing) })
    const send = await openKeepAlive(t, testServer)
    for (const headers of [as('ann'), as('nick'), as('ann')]) {
      const reply = await send(headers)
      t.strictSame([reply.status, reply.body], [500, internalServerError])
      checkHeaders(t, reply.headers)
    }
    isFailing = false
    const reply = await send(as('ann'))
    t.strictSame([reply.status, reply.headers.etag, reply.hasReusedSocket], [200, '"4"', true])
    await testServer.app.close()
  })
}

interface Answer { status: number, headers: Record<string, unknown>, body: unknown, hasReusedSocket: boolean }

/** Returns a function that sends `body` with the given headers, always over the same connection. */
async function openKeepAlive (t: Test, { app }: TestServer) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => { agent.destroy() })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return async (headers: Record<string, string>) => await new Promise<Answer>((resolve, reject) => {
    const sent = request({ agent, port, path, method: 'POST', headers: { 'content-type': 'application/json', ...headers } }, (message) => {
      void message.toArray().then((parts) => {
        const { statusCode, headers } = message
        resolve({ status: statusCode!, headers, body: JSON.parse(parts.join('')) as unknown, hasReusedSocket: sent.reusedSocket })
      })
    })
    sent.on('error', reject).end(body)
  })
}

/** Hooks and handlers of the host that do not change an answer of the plugin. */
const harmlessHooks: Record<string, (app: FastifyInstance) => void> = {
  'a preSerialization hook fails': (app) => { app.addHook('preSerialization', async () => { throw misleadingError() }) },
  'a preSerialization hook rejects later': (app) => {
    app.addHook('preSerialization', async () => {
      await new Promise(setImmediate)
      throw misleadingError()
    })
  },
  'a preSerialization hook returns another answer': (app) => {
    app.addHook('preSerialization', async (_request, _reply, payload) => {
      Object.assign(payload as object, { success: 'of the host' })
      return { ofHost: true }
    })
  },
  'an onError hook fails': (app) => { app.addHook('onError', async () => { throw misleadingError() }) },
  'an onResponse hook fails': (app) => { app.addHook('onResponse', async () => { throw misleadingError() }) },
  'an error handler fails': (app) => { app.setErrorHandler(() => { throw misleadingError() }) },
  'a serializer fails': (app) => { app.setReplySerializer(() => { throw misleadingError() }) }
}
for (const [name, addHook] of Object.entries(harmlessHooks)) {
  t.test(`${name}: the answers of the plugin do not change, and the server closes`, async (t) => {
    const { app, post, db } = await start(t, addHook)
    const refused = await post(body, as('nick'))
    t.strictSame([refused.statusCode, refused.json().success], [403, false])
    checkHeaders(t, refused.headers)
    const reply = await post(body)
    t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, 'Marie', '"2"'])
    checkHeaders(t, reply.headers)
    t.match(await rowOfMaria(db), { name: 'Marie', version: 2 })
    await app.close()
  })
}

t.test('a preSerialization hook writes into its copy of an answer: it can, and the answer does not change', async (t) => {
  const { post, warningTexts } = await observe(t, {
    host: (app) => {
      app.addHook('preSerialization', async (_request, reply, payload: { contact: { name: string } }) => {
        payload.contact.name = 'of the host'
        payload.contact = { ...payload.contact }
        void reply.header('name-in-copy', payload.contact.name)
        return payload
      })
    }
  })
  const reply = await post(body)
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers['name-in-copy']], [200, 'Marie', 'of the host'])
  t.strictSame(warningTexts(), [])
})

for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  t.test(`an ${hook} hook fails, and then an onSend hook: 500, nothing written`, async (t) => {
    const { app, post, db } = await start(t, (app) => {
      app.addHook(hook as 'onRequest', async () => { throw new Error('of the host') })
      app.addHook('onSend', async () => { throw misleadingError() })
    })
    const before = await allRows(db)
    const reply = await post(body)
    t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
    checkHeaders(t, reply.headers)
    t.strictSame(await allRows(db), before)
    await app.close()
  })
}

t.test('a hook throws an error whose statusCode is a text: the answer is that for the number', async (t) => {
  for (const [statusCode, expected] of [['401', unauthorized], ['403', forbidden]] as const) {
    const { post } = await start(t, (app) => {
      app.addHook('preHandler', async () => { throw Object.assign(new Error('of the host'), { statusCode }) })
    })
    const reply = await post(body)
    t.strictSame([reply.statusCode, reply.json()], [Number(statusCode), expected])
  }
})
