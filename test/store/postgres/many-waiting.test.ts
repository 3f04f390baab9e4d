// Many requests wait for the pool, or get their rows at the same time.

import type { LightMyRequestResponse } from 'fastify'
import type { Socket } from 'node:net'
import type { Pool, PoolClient } from 'pg'
import type { Test } from 'tap'
import { build, rowOfMaria, type TestServer } from '../../helpers/test-server.js'
import engines, { postgres as t } from '../../helpers/engines.js'
import { observe } from '../../helpers/observed-server.js'
import { hostUsers, until } from '../../helpers/waiting.js'

/** A message of PostgreSQL: its letter, its length, and fields that end with a zero byte. */
const fields = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0')
const serverEnds = Buffer.concat([Buffer.from('E'), Buffer.alloc(4), fields])
serverEnds.writeInt32BE(4 + fields.length, 1)

/** Calls a function with each chunk that the server sends to a client, and with the function that lets the client read it. */
function interceptChunks (client: PoolClient, onChunk: (chunk: Buffer, read: (chunk: Buffer) => void) => void): void {
  const { stream } = (client as PoolClient & { connection: { stream: Socket } }).connection
  const [listener] = stream.listeners('data') as Array<(chunk: Buffer) => void>
  stream.removeAllListeners('data')
  stream.on('data', (chunk) => { onChunk(chunk, listener!.bind(stream)) })
}

t.test('answers of the server that arrive after the deadline, while nothing else runs: the update is made', async (t) => {
  const { update, database } = await build(t, { ...hostUsers, lockTimeout: 300, pool: { max: 1 } })
  const pool = database as unknown as Pool
  const client = await pool.connect()
  interceptChunks(client, (chunk, read) => { setTimeout(read, 400, chunk) })
  client.release()
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
})

t.test('thousands of requests have given up when a client becomes free: 503 each, and the next update is made', async (t) => {
  const { update, database, db } = await build(t, { ...hostUsers, lockTimeout: 200, pool: { max: 1 } })
  const pool = database as unknown as Pool
  const client = await pool.connect()
  const replies = await Promise.all(Array.from({ length: 3000 }, async () => await update({ contactId: 'maria', name: 'Late' })))
  t.strictSame(new Set(replies.map(({ statusCode }) => statusCode)), new Set([503]))
  client.release()
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  t.strictSame([pool.totalCount, pool.idleCount, pool.waitingCount], [1, 1, 0])
  t.match(await rowOfMaria(db), { name: 'Marie', version: 2 })
})

t.test('a request that has given up gets a client whose server ends in the same chunk: the process survives, and the client is dropped', async (t) => {
  const { update, database } = await build(t, { ...hostUsers, lockTimeout: 1000, pool: { max: 1 } })
  const pool = database as unknown as Pool
  const client = await pool.connect()
  t.equal((await update({ contactId: 'maria', name: 'Late' })).statusCode, 503)
  interceptChunks(client, (chunk, read) => { read(Buffer.concat([chunk, serverEnds])) })
  client.query('SELECT 1', () => { client.release() })
  await until(() => pool.totalCount === 0)
  t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
})

/** Adds eight contacts, and sends an update of each at once. All have a value for whose pattern a request's time is not enough. */
async function sendSlowUpdates ({ update, db }: TestServer): Promise<LightMyRequestResponse[]> {
  const contacts = Array.from({ length: 8 }, (_, index) => `contact-${index}`)
  for (const contact of contacts) await db.exec("INSERT INTO omnichannel_contact (id, name) VALUES ($1, 'X')", contact)
  await db.exec("UPDATE omnichannel_custom_field SET regexp = '^(x+)+$' WHERE id = 'note'")
  // Connects all clients of the pool.
  await Promise.all(contacts.map(async (contactId) => await update({ contactId })))
  return await Promise.all(contacts.map(async (contactId) =>
    await update({ contactId, customFields: { plan: 'gold', note: `${'x'.repeat(40)} ${contactId}` } })))
}

/** Calls a function with each text that is matched with the slow pattern, before it is matched. */
function interceptMatches (t: Pick<Test, 'intercept'>, onMatch: (text: string) => void): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { test } = RegExp.prototype
  t.intercept(RegExp.prototype, 'test', {
    value (this: RegExp, text: string) {
      if (text.startsWith('xxxx')) onMatch(text)
      return test.call(this, text)
    }
  })
}

const invalidNote = { success: false, error: 'Invalid value for note field' }

engines.test('several updates with a pattern that never ends: the event loop runs between them', async (t) => {
  let turn = 0
  let isOver = false
  const countTurns = (): void => {
    turn++
    if (!isOver) setImmediate(countTurns)
  }
  const testServer = await build(t)
  countTurns()
  /** The texts that were matched in each turn. */
  const matched = new Map<number, Set<string>>()
  interceptMatches(t, (text) => matched.set(turn, (matched.get(turn) ?? new Set()).add(text)))
  const replies = await sendSlowUpdates(testServer)
  isOver = true
  for (const reply of replies) t.strictSame(reply.json(), invalidNote)
  t.strictSame(new Set([...matched.values()].map(({ size }) => size)), new Set([1]), 'one in a turn')
})

t.test('several updates with a pattern that never ends, until the deadline: the last get 503 and are not decided', async (t) => {
  const matched = new Set<string>()
  interceptMatches(t, (text) => matched.add(text))
  const replies = await sendSlowUpdates(await build(t, { ...hostUsers, lockTimeout: 300 }))
  const late = replies.filter(({ statusCode }) => statusCode === 503)
  t.ok(late.length > 0)
  for (const reply of replies) if (!late.includes(reply)) t.strictSame(reply.json(), invalidNote)
  t.ok(matched.size <= replies.length - late.length)
})

t.test('connections are lost while their updates wait for another to be decided: the updates are tried again', async (t) => {
  const testServer = await observe(t, { ...hostUsers, lockTimeout: 20_000 })
  const pool = testServer.database as unknown as Pool & { _clients: Array<PoolClient & { processID: number }> }
  let ended: Promise<void> | undefined
  interceptMatches(t, () => {
    ended ??= testServer.db.exec('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', `{${pool._clients.map(({ processID }) => processID).filter(Boolean).join()}}`)
  })
  const replies = await sendSlowUpdates(testServer)
  await ended
  for (const reply of replies) t.strictSame(reply.json(), invalidNote)
  t.match(testServer.warningTexts().filter((line) => !line.startsWith('the pattern of a custom field')), [])
})
