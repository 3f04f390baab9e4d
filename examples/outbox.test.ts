// Messages are sent in order and at least once, also if the server or the receiver fails.
//
//   npx tap --disable-coverage examples/outbox.test.ts

import Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { addDemoData, buildApp, postTo, type Row, type Send } from './outbox.js'

const url = '/api/v1/omnichannel/contacts.update'
const headers = { 'x-user-id': 'ann', 'x-auth-token': 's3cret' }

interface TestApp { app: FastifyInstance, database: Database.Database, close: () => Promise<void> }

async function open (t: Test, file: string, send: Send): Promise<TestApp> {
  const database = new Database(file)
  const app = await buildApp(database, send)
  addDemoData(database)
  const close = async (): Promise<void> => {
    await app.close()
    database.close()
  }
  t.teardown(close)
  return { app, database, close }
}

async function rename (app: FastifyInstance, name: string): Promise<number> {
  return (await app.inject({ method: 'POST', url, headers, payload: { contactId: 'maria', name } })).statusCode
}

async function until (isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await setTimeout(10)
}

const nameIn = ({ message }: Pick<Row, 'message'>): string => JSON.parse(message).contact.name as string
const isEmpty = (database: Database.Database): boolean => database.prepare('SELECT count(*) FROM outbox').pluck().get() === 0

t.test('three updates and a refused one: the three are sent once and in order, with contact and user', async (t) => {
  const sent: Row[] = []
  const { app, database } = await open(t, ':memory:', async (row) => { sent.push(row) })
  const statuses = await Promise.all(['A', 'B', '', 'C'].map(async (name) => await rename(app, name)))
  t.strictSame(statuses, [200, 200, 400, 200])
  await until(() => isEmpty(database))
  t.strictSame(sent.map(nameIn), ['A', 'B', 'C'])
  t.match(JSON.parse(sent[0]!.message), { contact: { _id: 'maria', name: 'A' }, changedFields: ['name'], by: 'ann' })
  await rename(app, 'D')
  await until(() => isEmpty(database))
  t.strictSame(sent.map(({ id }) => id), [1, 2, 3, 4], 'ids are not used again after the outbox was empty')
})

t.test('a receiver that fails for a while: all messages arrive in order', async (t) => {
  const tried: string[] = []
  let failures = 2
  const { app, database } = await open(t, ':memory:', async (row) => {
    tried.push(nameIn(row))
    if (failures-- > 0) throw new Error('not now')
  })
  for (const name of ['A', 'B', 'C']) t.equal(await rename(app, name), 200, 'the update does not wait for the receiver')
  await until(() => isEmpty(database))
  t.strictSame(tried.slice(-3), ['A', 'B', 'C'])
  t.strictSame([...new Set(tried)], ['A', 'B', 'C'], 'B was not tried before A had arrived')
})

t.test('a server that stops before it sends: the next server sends the message', async (t) => {
  const file = join(t.testdir(), 'outbox.db')
  const first = await open(t, file, async () => { throw new Error('not now') })
  await rename(first.app, 'A')
  await first.close()
  const sent: string[] = []
  const second = await open(t, file, async (row) => { sent.push(nameIn(row)) })
  await until(() => isEmpty(second.database))
  t.strictSame(sent, ['A'])
})

/** Starts the example itself in a folder, and resolves once it listens. */
async function start (t: Test, folder: string, receiver: string): Promise<{ child: ChildProcess, address: string }> {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), resolve('examples/outbox.ts')], {
    cwd: folder, env: { ...process.env, PORT: '0', RECEIVER: receiver }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /http:\/\/(?:127\.0\.0\.1|\[::1\]):\d+/.exec(line)?.[0]
    if (address !== undefined) return { child, address }
  }
  throw new Error('it ended before it listened')
}

t.test('a server is killed between sending and deleting: no message is lost, and the receiver recognises the repeated one by its id', async (t) => {
  /** The idempotency key of each request that has arrived. */
  const keys: string[] = []
  const nameByKey = new Map<string, string>()
  let willBeKilled: ChildProcess | undefined
  const receiver = createServer((request, reply) => {
    void (async () => {
      let message = ''
      for await (const chunk of request.setEncoding('utf8')) message += chunk as string
      const key = String(request.headers['idempotency-key'])
      keys.push(key)
      if (!nameByKey.has(key)) nameByKey.set(key, nameIn({ message }))
      // The second message has arrived, but its sender gets no answer.
      if (nameByKey.size === 2 && willBeKilled?.exitCode === null) willBeKilled.kill('SIGKILL')
      else reply.end()
    })()
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  t.teardown(() => {
    receiver.closeAllConnections()
    receiver.close()
  })
  const receiverUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`

  const folder = t.testdir()
  const first = await start(t, folder, receiverUrl)
  willBeKilled = first.child
  const killed = once(first.child, 'exit')
  const acknowledged: string[] = []
  for (const name of ['A', 'B', 'C', 'D']) {
    const reply = await fetch(first.address + url, {
      method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify({ contactId: 'maria', name })
    }).catch(() => undefined)
    if (reply?.status === 200) acknowledged.push(name)
  }
  t.strictSame(await killed, [null, 'SIGKILL'])
  willBeKilled = undefined

  await start(t, folder, receiverUrl)
  const database = new Database(join(folder, 'outbox.db'))
  t.teardown(() => { database.close() })
  await until(() => isEmpty(database))
  t.strictSame(keys.slice(0, 3), ['outbox-1', 'outbox-2', 'outbox-2'], 'the second one came twice')
  t.equal(keys.length, nameByKey.size + 1)
  const arrived = [...nameByKey.values()]
  t.strictSame(arrived, ['A', 'B', 'C', 'D'].slice(0, arrived.length), 'in order')
  t.strictSame(acknowledged.filter((name) => !arrived.includes(name)), [], 'all acknowledged updates have arrived')
})

t.test('the receiver answers with 500: postTo rejects', async (t) => {
  const receiver = createServer((_request, reply) => { reply.writeHead(500).end() }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  t.teardown(() => { receiver.close() })
  await t.rejects(postTo(`http://127.0.0.1:${(receiver.address() as AddressInfo).port}`)({ id: 1, message: '{}' }), /answered 500/)
})
