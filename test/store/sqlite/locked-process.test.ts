// Another process locks the database file.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { allRows, build } from '../../helpers/test-server.js'
import { openFile } from '../../helpers/sqlite-files.js'
import { handleKind, openHandle } from '../../helpers/open-handle.js'
import { busy } from '../../helpers/refusals.js'
import { nameOfMaria, waitTurns } from '../../helpers/waiting.js'

/** The busy timeout in milliseconds. If SQLite slept for it, a test would take longer than tap allows. */
const busyTimeout = 60_000

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

for (const journalMode of ['WAL', 'DELETE']) {
  for (const begin of ['BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE']) {
    t.test(`${begin} of another process, ${journalMode}: the event loop runs while updates wait, and they are made in order after the lock`, async (t) => {
      const file = `${t.testdir()}/contacts.db`
      const database = openHandle(file, { timeout: busyTimeout })
      database.pragma(`journal_mode = ${journalMode}`)
      const { update, db } = await build(t, { database, lockTimeout: 30_000 })
      await update({ contactId: 'maria', name: 'first' })
      const unlock = await lock(t, file, begin)
      let isAnswered = false
      const waiting = ['second', 'third', 'fourth'].map((name) => update({ contactId: 'maria', name }).finally(() => { isAnswered = true }))
      await waitTurns(50)
      t.equal(isAnswered, false)
      t.equal(database.pragma('busy_timeout', { simple: true }), busyTimeout)
      await unlock()
      t.strictSame((await Promise.all(waiting)).map((reply) => reply.json().contact?.name), ['second', 'third', 'fourth'])
      t.equal(await nameOfMaria(db), 'fourth')
      t.equal(database.pragma('busy_timeout', { simple: true }), busyTimeout)
    })

    t.test(`${begin} of another process, ${journalMode}, for longer than lockTimeout: 503, nothing changed`, async (t) => {
      const file = `${t.testdir()}/contacts.db`
      const database = openHandle(file, { timeout: busyTimeout })
      database.pragma(`journal_mode = ${journalMode}`)
      const { update, db } = await build(t, { database, lockTimeout: 30 })
      const before = await allRows(db)
      const unlock = await lock(t, file, begin)
      const reply = await update({ contactId: 'maria', name: 'Marie' })
      t.strictSame([reply.statusCode, reply.json()], [503, busy])
      await unlock()
      t.strictSame(await allRows(db), before)
    })
  }
}

t.test('another process locks the file during the registration, and ends in time: registered after the lock, and SQLite has not slept', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  await build(t, { database: openHandle(file) })
  const unlock = await lock(t, file, 'BEGIN EXCLUSIVE')
  let isRegistered = false
  const waiting = build(t, { database: openHandle(file, { timeout: busyTimeout }), lockTimeout: 30_000 }).finally(() => { isRegistered = true })
  await waitTurns(50)
  t.equal(isRegistered, false)
  await unlock()
  const { update, leftovers } = await waiting
  t.strictSame([(await update({ contactId: 'maria', name: 'Marie' })).statusCode, await leftovers()], [200, {}])
})

t.test('another process locks the file for longer than lockTimeout: the registration fails with FOC_DATABASE_BUSY', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  await build(t, { database: openHandle(file) })
  const unlock = await lock(t, file, 'BEGIN EXCLUSIVE')
  for (const migrate of [true, false]) {
    const database = openFile(t, file, { timeout: busyTimeout })
    await t.rejects(async () => { await build(t, { database, migrate, lockTimeout: 30 }) }, { code: 'FOC_DATABASE_BUSY' })
    t.equal(database.pragma('busy_timeout', { simple: true }), busyTimeout)
  }
  await unlock()
})
