// Hooks of the host fail while an answer is sent: each request is answered, and the server can close.

import type { FastifyInstance } from 'fastify'
import { Agent, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { allRows, as, holdMaria, path, type Setup, type World } from '../helpers/build.js'
import t from '../helpers/engines.js'
import { observe } from '../helpers/observed.js'
import { internal } from '../helpers/refusals.js'
import { knownCaller } from '../helpers/waiting.js'

type Hook = (app: FastifyInstance, fails: (status: number) => boolean) => void
const thrown = (): Error => Object.assign(new Error('of the host'), { statusCode: 418, code: 'FOC_FORBIDDEN' })

const hooks: Record<string, Hook> = {
  'an async onSend': (app, fails) => { app.addHook('onSend', async (_request, reply) => { if (fails(reply.statusCode)) throw thrown() }) },
  'an onSend that rejects later': (app, fails) => {
    app.addHook('onSend', async (_request, reply) => {
      await new Promise(setImmediate)
      if (fails(reply.statusCode)) throw thrown()
    })
  },
  'an onSend that throws': (app, fails) => {
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (fails(reply.statusCode)) throw thrown()
      done(null, payload)
    })
  },
  'an onSend that calls back with an error': (app, fails) => {
    app.addHook('onSend', (_request, reply, payload, done) => { done(fails(reply.statusCode) ? thrown() as never : null, payload) })
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

interface Scenario { status: number, setup?: Setup, headers?: Record<string, string>, text?: string, waits?: boolean }
const answers: Scenario[] = [
  { status: 200 },
  { status: 400, text: '{"contactId":"who"}' },
  { status: 400, text: '{' },
  { status: 401, headers: { 'x-auth-token': 'wrong' } },
  { status: 403, headers: as('nick') },
  { status: 413, text: JSON.stringify({ contactId: 'x'.repeat(2000) }) },
  { status: 412, headers: { 'if-match': '"7"' } },
  { status: 503, setup: knownCaller, waits: true }
]
const body = '{"contactId":"maria","name":"Marie"}'

async function start (t: Test, hook: Hook, fails: (status: number) => boolean, setup: Setup = {}) {
  return await observe(t, { bodyLimit: 1000, lockTimeout: 1000, ...setup, host: (app) => { hook(app, fails) } })
}

function hasHeaders (t: Test, headers: object): void {
  t.match(headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
}

for (const [name, hook] of Object.entries(hooks)) {
  for (const { status, setup, headers = {}, text = body, waits = false } of answers) {
    for (const times of ['each time', 'once']) {
      t.test(`${name} fails ${times} at a ${status} (${text.slice(0, 20)}): 500 with our headers, and the rows fit the first answer`, async (t) => {
        let failures = 0
        const { app, post, db, lines } = await start(t, hook, () => times === 'each time' || failures++ === 0, setup)
        const before = await allRows(db)
        if (waits) await holdMaria(db)
        const reply = await post(text, headers)
        if (waits) await db.exec('ROLLBACK')
        t.strictSame([reply.statusCode, reply.json()], [500, internal])
        hasHeaders(t, reply.headers)
        t.equal(reply.headers.etag, undefined)
        t.equal(lines.filter(({ level }) => level > 30).at(-1)?.level, 50)
        if (status === 200) t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 2 }])
        else t.strictSame(await allRows(db), before)
        await app.close()
      })
    }
  }

  t.test(`${name} fails on a keep-alive connection: each request is answered, and the server closes`, async (t) => {
    let isFailing = true
    const world = await start(t, hook, () => isFailing)
    const send = await keepAlive(t, world)
    for (const headers of [as('ann'), as('nick'), as('ann')]) {
      const reply = await send(headers)
      t.strictSame([reply.status, reply.body], [500, internal])
      hasHeaders(t, reply.headers)
    }
    isFailing = false
    const reply = await send(as('ann'))
    t.strictSame([reply.status, reply.headers.etag, reply.reused], [200, '"4"', true])
    await world.app.close()
  })
}

interface Kept { status: number, headers: Record<string, unknown>, body: unknown, reused: boolean }

async function keepAlive (t: Test, { app }: World) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => { agent.destroy() })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return async (headers: Record<string, string>) => await new Promise<Kept>((resolve, reject) => {
    const sent = request({ agent, port, path, method: 'POST', headers: { 'content-type': 'application/json', ...headers } }, (message) => {
      void message.toArray().then((parts) => {
        resolve({ status: message.statusCode!, headers: message.headers, body: JSON.parse(parts.join('')) as unknown, reused: sent.reusedSocket })
      })
    })
    sent.on('error', reject).end(body)
  })
}

const others: Record<string, (app: FastifyInstance) => void> = {
  'a preSerialization': (app) => { app.addHook('preSerialization', async () => { throw thrown() }) },
  'a preSerialization that rejects later': (app) => {
    app.addHook('preSerialization', async () => {
      await new Promise(setImmediate)
      throw thrown()
    })
  },
  'a preSerialization that changes the answer': (app) => {
    app.addHook('preSerialization', async (_request, _reply, payload) => {
      Object.assign(payload as object, { success: 'bent' })
      return { bent: true }
    })
  },
  'an onError': (app) => { app.addHook('onError', async () => { throw thrown() }) },
  'an onResponse': (app) => { app.addHook('onResponse', async () => { throw thrown() }) },
  'an error handler': (app) => { app.setErrorHandler(() => { throw thrown() }) },
  'a serializer': (app) => { app.setReplySerializer(() => { throw thrown() }) }
}
for (const [name, add] of Object.entries(others)) {
  t.test(`${name} of the host fails: our answers do not change, and the server closes`, async (t) => {
    const { app, post, db } = await start(t, (app) => { add(app) }, () => true)
    const refused = await post(body, as('nick'))
    t.strictSame([refused.statusCode, refused.json().success], [403, false])
    hasHeaders(t, refused.headers)
    const reply = await post(body)
    t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.etag], [200, 'Marie', '"2"'])
    hasHeaders(t, reply.headers)
    t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 2 }])
    await app.close()
  })
}

t.test('a preSerialization changes its copy of an answer: it does not fail, and the answer does not change', async (t) => {
  const { post, complaints } = await observe(t, {
    host: (app) => {
      app.addHook('preSerialization', async (_request, reply, payload: { contact: { name: string } }) => {
        payload.contact.name = 'bent'
        payload.contact = { ...payload.contact }
        void reply.header('copy', payload.contact.name)
        return payload
      })
    }
  })
  const reply = await post(body)
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers.copy], [200, 'Marie', 'bent'])
  t.strictSame(complaints(), [])
})

for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  t.test(`an ${hook} of the host fails, and an onSend as well: 500, nothing written`, async (t) => {
    const { app, post, db } = await start(t, (app) => {
      app.addHook(hook as 'onRequest', async () => { throw new Error('of the host') })
      app.addHook('onSend', async () => { throw thrown() })
    }, () => true)
    const before = await allRows(db)
    const reply = await post(body)
    t.strictSame([reply.statusCode, reply.json()], [500, internal])
    hasHeaders(t, reply.headers)
    t.strictSame(await allRows(db), before)
    await app.close()
  })
}
