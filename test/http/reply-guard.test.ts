// An update whose request was answered by somebody else, or whose client is gone, is not begun.

import { once } from 'node:events'
import { request, type ClientRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { allRows, as, build, path, type Setup, type World } from '../build.js'

const body = { contactId: 'maria', name: 'Marie' }
const overload = { success: false, error: 'Service Unavailable' }

/** Long enough for whatever waits on a host's transaction of this test to have had its turn. */
const aWhile = 60 // ms

async function listen ({ app }: World): Promise<() => ClientRequest> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return () => request({
    host: '127.0.0.1', port, path, method: 'POST', headers: { ...as('ann'), 'content-type': 'application/json' }, agent: false
  }).on('error', () => undefined)
}

const timeOuts: Record<string, Setup> = {
  "Fastify's handlerTimeout": { server: { handlerTimeout: 50 } },
  'handlerTimeout, and an onError hook of the host that takes its time': {
    server: { handlerTimeout: 50 },
    host: (app) => { app.addHook('onError', async () => { await pause(300) }) }
  },
  'handlerTimeout, and an onSend hook of the host that takes its time': {
    server: { handlerTimeout: 50 },
    host: (app) => { app.addHook('onSend', async () => { await pause(300) }) }
  },
  "a time-out of the host's own": {
    host: (app) => {
      app.addHook('onSend', async () => { await pause(300) })
      app.addHook('preHandler', async (_request, reply) => { setTimeout(() => { void reply.code(503).send(JSON.stringify(overload)) }, 50) })
    }
  },
  'a host that takes the reply over': {
    host: (app) => {
      app.addHook('preHandler', async (_request, reply) => {
        setTimeout(() => { reply.hijack().raw.writeHead(503).end(JSON.stringify(overload)) }, 50)
      })
    }
  }
}

for (const [name, setup] of Object.entries(timeOuts)) {
  t.test(`${name} answers while the update waits: nothing is written`, async (t) => {
    const world = await build(t, { authenticate: () => ({ id: 'ann' }), authorize: () => true, ...setup })
    const before = await allRows(world.db)
    world.database.exec('BEGIN')
    const reply = world.update(body)
    await pause(150)
    world.database.exec('COMMIT')
    t.strictSame([(await reply).statusCode, (await reply).json()], [503, overload])
    await pause(aWhile)
    t.strictSame(await allRows(world.db), before)
  })
}

for (const [name, setup] of Object.entries(timeOuts)) {
  if (!name.includes('onSend') && !name.includes('own')) continue
  t.test(`${name} comes after COMMIT, while an onSend hook takes its time: the answer is that of the update`, async (t) => {
    const world = await build(t, setup)
    const reply = await world.update(body)
    t.strictSame([reply.statusCode, reply.json().contact.name], [200, 'Marie'])
    t.match((await allRows(world.db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 2 }])
  })
}

t.test('an onSend hook that fails after COMMIT: 500, and the update stands, as the README says', async (t) => {
  const world = await build(t, { host: (app) => { app.addHook('onSend', async (_request, reply) => { if (reply.statusCode === 200) throw new Error('no') }) } })
  const reply = await world.update(body)
  t.strictSame([reply.statusCode, reply.json()], [500, { success: false, error: 'Internal server error' }])
  t.match((await allRows(world.db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 2 }])
})

for (const handlerTimeout of [1, 50]) {
  t.test(`a handlerTimeout of ${handlerTimeout} ms strikes while the body is still on its way: nothing is written`, async (t) => {
    const world = await build(t, { ...timeOuts['handlerTimeout, and an onError hook of the host that takes its time'], server: { handlerTimeout } })
    const before = await allRows(world.db)
    const sent = (await listen(world))()
    sent.write('{"contactId":"maria",')
    await pause(150)
    sent.end('"name":"Marie"}')
    const [reply] = await once(sent, 'response')
    reply.resume()
    t.equal(reply.statusCode, 503)
    await pause(aWhile)
    t.strictSame(await allRows(world.db), before)
  })
}

t.test('within its handlerTimeout an update is answered and written as ever', async (t) => {
  const world = await build(t, { server: { handlerTimeout: 10_000 } })
  const sent = (await listen(world))()
  sent.end(JSON.stringify(body))
  const [reply] = await once(sent, 'response')
  reply.resume()
  t.equal(reply.statusCode, 200)
  t.equal((await world.update({ contactId: 'maria', name: 'Mia' })).statusCode, 200)
  t.match((await allRows(world.db)).omnichannel_contact, [{}, {}, { name: 'Mia', version: 3 }])
})

t.test('the client goes away while its update waits: nothing is written, and the log says so once', async (t) => {
  const lines: string[] = []
  const world = await build(t, {
    authenticate: () => ({ id: 'ann' }), authorize: () => true,
    server: { logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } }
  })
  const before = await allRows(world.db)
  const post = await listen(world)
  world.database.exec('BEGIN')
  const sent = post()
  sent.end(JSON.stringify(body))
  await pause(aWhile)
  sent.destroy()
  await pause(aWhile)
  world.database.exec('COMMIT')
  await pause(aWhile)
  t.strictSame(await allRows(world.db), before)
  t.equal(lines.filter((line) => line.includes('was not made')).length, 1)
  t.strictSame(lines.filter((line) => (JSON.parse(line) as { level: number }).level > 30), [], 'nothing to worry about')
})
