import { fork } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { allRows, build } from '../../helpers/build.js'
import { openFile } from '../../helpers/files.js'
import { handleKind, openHandle } from '../../helpers/handle.js'
import { nameOfMaria, turns } from '../../helpers/waiting.js'

/** Starts another process that locks the file. Returns a function that ends the lock. */
async function lock (t: Test, file: string, begin: string): Promise<() => Promise<void>> {
  const child = fork('test/fixtures/lock-process.js', [file, begin], { execArgv: [], env: { PATH: process.env.PATH, SQLITE_HANDLE: handleKind } })
  t.teardown(() => { child.kill() })
  await once(child, 'message')
  return async () => {
    child.send('let go')
    await once(child, 'exit')
  }
}

const locks: Array<[journal: string, begin: string]> = [
  ['WAL', 'BEGIN IMMEDIATE'], ['WAL', 'BEGIN EXCLUSIVE'], ['DELETE', 'BEGIN IMMEDIATE'], ['DELETE', 'BEGIN EXCLUSIVE']
]
for (const [journal, begin] of locks) {
  t.test(`another process has a lock, ${journal}, ${begin}`, async (t) => {
    const file = `${t.testdir()}/contacts.db`
    const database = openHandle(file, { timeout: 60_000 })
    database.pragma(`journal_mode = ${journal}`)
    const { update, db } = await build(t, { database, lockTimeout: 30_000 })
    await update({ contactId: 'maria', name: 'first' })

    await t.test('the event loop runs while updates wait, and they are made in order after the lock', async (t) => {
      const unlock = await lock(t, file, begin)
      let isAnswered = false
      const waiting = ['second', 'third', 'fourth'].map((name) => update({ contactId: 'maria', name }).finally(() => { isAnswered = true }))
      // If SQLite slept for its busy timeout of a minute, these turns would exceed the limit of the test.
      await turns(50)
      t.equal(isAnswered, false)
      t.equal(database.pragma('busy_timeout', { simple: true }), 60_000)
      await unlock()
      t.strictSame((await Promise.all(waiting)).map((reply) => reply.json().contact?.name), ['second', 'third', 'fourth'])
      t.equal(await nameOfMaria(db), 'fourth')
      t.equal(database.pragma('busy_timeout', { simple: true }), 60_000)
    })

    await t.test('a lock for longer than lockTimeout: 503, nothing changed', async (t) => {
      const impatient = await build(t, { database: openHandle(file, { timeout: 60_000 }), lockTimeout: 30 })
      const before = await allRows(db)
      const unlock = await lock(t, file, begin)
      const reply = await impatient.update({ contactId: 'maria', name: 'Marie' })
      t.strictSame([reply.statusCode, reply.json()], [503, { success: false, error: 'error-database-busy' }])
      await unlock()
      t.strictSame(await allRows(db), before)
    })
  })
}

t.test('another process locks the file before the host uses its handle: the registration waits', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  await build(t, { database: openHandle(file) })

  await t.test('the lock ends in time: registered, and SQLite has not slept', async (t) => {
    const letGo = await lock(t, file, 'BEGIN EXCLUSIVE')
    let isRegistered = false
    const waiting = build(t, { database: openHandle(file, { timeout: 60_000 }), lockTimeout: 30_000 }).finally(() => { isRegistered = true })
    // If SQLite slept for its busy timeout of a minute, these turns would exceed the limit of the test.
    await turns(50)
    t.equal(isRegistered, false)
    await letGo()
    const { update, leftovers } = await waiting
    t.strictSame([(await update({ contactId: 'maria', name: 'Marie' })).statusCode, await leftovers()], [200, {}])
  })

  await t.test('the lock lasts longer than lockTimeout: FOC_DATABASE_BUSY', async (t) => {
    const letGo = await lock(t, file, 'BEGIN EXCLUSIVE')
    for (const migrate of [true, false]) {
      const database = openFile(t, file, { timeout: 60_000 })
      await t.rejects(async () => { await build(t, { database, migrate, lockTimeout: 30 }) }, { code: 'FOC_DATABASE_BUSY' })
      t.equal(database.pragma('busy_timeout', { simple: true }), 60_000)
    }
    await letGo()
  })
})
