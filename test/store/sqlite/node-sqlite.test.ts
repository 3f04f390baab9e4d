// Tests for a DatabaseSync of node:sqlite only. Tests that use engines.ts run on each kind of handle.

import fastify from 'fastify'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import omnichannelContacts, { type ContactUpdatedEvent, type OmnichannelContactsOptions } from '../../../src/index.js'
import { as, fill, path } from '../../helpers/test-server.js'
import { DatabaseSync, skip, type Handle } from '../../helpers/node-sqlite.js'
import { busy, internalServerError } from '../../helpers/refusals.js'
import { sqliteDb } from '../../helpers/sqlite.js'
import { waitTurns } from '../../helpers/waiting.js'

const body = { contactId: 'maria', name: 'Marie' }

interface Setup extends Partial<Omit<OmnichannelContactsOptions, 'database'>> {
  file?: string
  handleOptions?: object
}

async function build (t: Test, { file = ':memory:', handleOptions = {}, ...options }: Setup = {}) {
  const database = new DatabaseSync(file, handleOptions)
  const app = fastify()
  t.teardown(async () => {
    await app.close()
    if (database.isOpen) database.close()
  })
  await app.register(omnichannelContacts, { database, ...options })
  await fill(sqliteDb(withObjectRows(database)))
  const update = async (payload: object, headers = as('ann')) => await app.inject({ method: 'POST', url: path, headers, payload })
  return { database, update, name: () => firstCell(database, "SELECT name FROM omnichannel_contact WHERE id = 'maria'") }
}

/** The same handle, but its rows are objects, also if the options of the handle say otherwise. */
function withObjectRows (database: Handle): Parameters<typeof sqliteDb>[0] {
  const prepare = (sql: string) => {
    const statement = database.prepare(sql)
    statement.setReturnArrays(false)
    statement.setAllowBareNamedParameters(true)
    return statement
  }
  return { prepare, exec: (sql) => database.exec(sql), close: () => { database.close() } }
}

/** Reads the first cell of the first row, also if the options of the handle change what a query returns. */
function firstCell (database: Handle, sql: string): unknown {
  const statement = database.prepare(sql)
  statement.setReturnArrays(true)
  statement.setReadBigInts(false)
  return (statement.get() as unknown[] | undefined)?.[0]
}

function openIterator (database: Handle, sql: string): Iterator<unknown> {
  const iterator = database.prepare(sql).iterate()
  iterator.next()
  return iterator
}

const insertReturning = "INSERT INTO omnichannel_statistic VALUES ('a', 1), ('b', 2), ('c', 3) RETURNING name"

t.test('a handle with other options: the same answer, and its settings stay', { skip }, async (t) => {
  const allOptions: object[] = [
    {}, { readBigInts: true, returnArrays: true }, { enableForeignKeyConstraints: false, timeout: 1234 }, { defensive: true },
    { enableDoubleQuotedStringLiterals: true, allowBareNamedParameters: false }, { allowUnknownNamedParameters: true }
  ]
  for (const handleOptions of allOptions) {
    await t.test(JSON.stringify(handleOptions), async (t) => {
      const events: Array<[ContactUpdatedEvent, unknown]> = []
      const { database, update } = await build(t, { handleOptions, beforeCommit: (event, connection) => { events.push([event, connection]) } })
      const pragmas = ['busy_timeout', 'foreign_keys', 'journal_mode', 'synchronous', 'user_version']
      const settings = (): unknown[] => [
        ...pragmas.map((pragma) => firstCell(database, `PRAGMA ${pragma}`)), database.prepare('SELECT 1 AS a').get(), Reflect.ownKeys(database)
      ]
      const before = settings()
      const reply = await update({ ...body, emails: ['a@b.c', 'a\0b'], phones: [7], customFields: { plan: 'gold' }, contactManager: 'bob' })
      t.strictSame([reply.statusCode, reply.headers.etag], [200, '"2"'])
      t.match(reply.json().contact, { name: 'Marie', emails: [{ address: 'a@b.c' }, { address: 'a\0b' }], phones: [{ phoneNumber: '7' }] })
      t.equal(events.length, 1)
      t.strictSame(events[0]?.[0].contact, reply.json().contact)
      t.equal(events[0]?.[1], database)
      t.strictSame(settings(), before)
      t.equal(firstCell(database, "SELECT json_group_array(hex(address)) FROM omnichannel_contact_email WHERE contact_id = 'maria'"), '["6140622E63","610062"]')
    })
  }
})

t.test('an iterator of the host that is open past the deadline: 503, and its rows stay', { skip }, async (t) => {
  const { database, update, name } = await build(t, { lockTimeout: 50 })
  const iterator = openIterator(database, insertReturning)
  t.strictSame((await update(body)).json(), busy)
  iterator.return!()
  t.strictSame([name(), firstCell(database, 'SELECT count(*) FROM omnichannel_statistic')], ['Maria', 3])
})

t.test('an iterator of the host that is open during the registration: FOC_DATABASE_BUSY, and its rows stay', { skip }, async (t) => {
  const empty = new DatabaseSync(':memory:')
  empty.exec('CREATE TABLE mine (name TEXT)')
  const iterator = openIterator(empty, "INSERT INTO mine VALUES ('a'), ('b') RETURNING name")
  await t.rejects(async () => { await fastify().register(omnichannelContacts, { database: empty, lockTimeout: 50 }) }, { code: 'FOC_DATABASE_BUSY' })
  iterator.return!()
  t.strictSame([firstCell(empty, 'SELECT count(*) FROM mine'), firstCell(empty, 'SELECT count(*) FROM sqlite_schema')], [2, 1])
  empty.close()
})

/** A server whose beforeCommit leaves a reading iterator open when the name becomes Marie. */
async function buildWithReader (t: Test) {
  const readers: Array<Iterator<unknown>> = []
  const { database, update } = await build(t, {
    beforeCommit: ({ contact }, handle: Handle) => { if (contact.name === 'Marie') readers.push(openIterator(handle, 'SELECT id FROM omnichannel_contact')) }
  })
  t.equal((await update(body)).headers.etag, '"2"')
  return { database, update, closeReaders: () => { for (const reader of readers) reader.return!() } }
}

/** Sends an update while an iterator is open. It must wait until the iterator is closed. Returns the ETag of the answer. */
async function updateDuring (t: Test, iterator: Iterator<unknown>, update: Awaited<ReturnType<typeof build>>['update']): Promise<unknown> {
  let isAnswered = false
  const reply = update({ contactId: 'maria', name: 'Mary' }).finally(() => { isAnswered = true })
  await waitTurns(30)
  t.equal(isAnswered, false, 'the update waits')
  iterator.return!()
  return (await reply).headers.etag
}

t.test('beforeCommit leaves a reading iterator open: the update is committed, and so is the next one', { skip }, async (t) => {
  const { update } = await buildWithReader(t)
  t.equal((await update({ contactId: 'maria', name: 'Mia' })).headers.etag, '"3"')
})

t.test('the host has a writing iterator open beside the one of beforeCommit: the update waits for it, and its rows stay', { skip }, async (t) => {
  const { database, update } = await buildWithReader(t)
  t.equal(await updateDuring(t, openIterator(database, insertReturning), update), '"3"')
  t.equal(firstCell(database, 'SELECT count(*) FROM omnichannel_statistic'), 3)
})

t.test('the iterator of beforeCommit is closed: updates wait again for a reading iterator of the host', { skip }, async (t) => {
  const { database, update, closeReaders } = await buildWithReader(t)
  closeReaders()
  t.equal((await update({ contactId: 'maria', name: 'Mia' })).headers.etag, '"3"')
  t.equal(await updateDuring(t, openIterator(database, 'SELECT id FROM omnichannel_contact'), update), '"4"')
})

t.test('beforeCommit leaves a writing statement open: 500, rolled back, and the next updates wait until it is closed', { skip }, async (t) => {
  const writers: Array<Iterator<unknown>> = []
  let leavesOpen = true
  const { database, update, name } = await build(t, {
    lockTimeout: 100, beforeCommit: (_event, handle: Handle) => { if (leavesOpen) writers.push(openIterator(handle, insertReturning)) }
  })
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json(), name()], [500, internalServerError, 'Maria'])
  leavesOpen = false
  t.equal((await update(body)).statusCode, 503)
  for (const writer of writers) writer.return!()
  t.equal((await update(body)).headers.etag, '"2"')
  t.equal(firstCell(database, 'SELECT count(*) FROM omnichannel_statistic'), 0)
})

t.test('beforeCommit closes the handle: 500, also for the next update', { skip }, async (t) => {
  for (const file of [':memory:', join(t.testdir(), 'contacts.db')]) {
    const { update } = await build(t, { file, beforeCommit: (_event, handle: Handle) => { handle.close() } })
    for (const reply of [await update(body), await update(body)]) t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  }
})

t.test('the disk is full: 500, nothing written, and 200 once there is room', { skip }, async (t) => {
  const { database, update, name } = await build(t)
  const pages = firstCell(database, 'PRAGMA page_count') as number
  database.exec(`PRAGMA max_page_count = ${pages}`)
  const large = { ...body, emails: Array.from({ length: 2000 }, (_, index) => `${index}@example.com`.repeat(3)) }
  t.strictSame((await update(large)).json(), internalServerError)
  t.equal(name(), 'Maria')
  database.exec('PRAGMA max_page_count = 100000')
  t.equal((await update(large)).headers.etag, '"2"')
})

t.test('an SQL function in a trigger runs ROLLBACK: 500, nothing written', { skip }, async (t) => {
  for (const trigger of ['AFTER UPDATE ON omnichannel_contact', 'AFTER DELETE ON omnichannel_contact_email', 'AFTER INSERT ON omnichannel_idempotency_key']) {
    for (const beforeCommit of [undefined, () => undefined]) {
      const { database, update, name } = await build(t, beforeCommit && { beforeCommit })
      let fails = true
      ;(database as Handle & { function: (name: string, work: () => number) => void }).function('of_host', () => {
        if (fails) database.exec('ROLLBACK')
        fails = false
        return 1
      })
      database.exec(`CREATE TRIGGER host ${trigger} BEGIN SELECT of_host(); END`)
      const send = async () => await update({ ...body, emails: [], phones: ['1', '2'] }, { ...as('ann'), 'idempotency-key': 'key' })
      t.strictSame((await send()).json(), internalServerError, trigger)
      t.strictSame([name(), firstCell(database, 'SELECT count(*) FROM omnichannel_idempotency_key')], ['Maria', 0])
      t.equal(firstCell(database, "SELECT group_concat(phone_number) FROM omnichannel_contact_phone WHERE contact_id = 'maria'"), '+49 30 1')
      const reply = await send()
      t.strictSame([reply.statusCode, reply.headers.etag, reply.headers['idempotency-replayed']], [200, '"2"', undefined])
    }
  }
})
