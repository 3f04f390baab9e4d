// The worker thread of `serve` that moves SQLite's log into the database file.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { checkpointRepeatedly, startCheckpoints } from '../../src/cli/serve/checkpoints.js'
import { checkpointWorker as worker } from '../helpers/children.js'
import { signal, until } from '../helpers/waiting.js'
import { openFile } from './files.js'
import { serveFile, update } from './io.js'

/** The number of pages in the log, and how many of them are in the database file. */
function logOf (database: Database.Database): { log: number, checkpointed: number } {
  return database.prepare('PRAGMA wal_checkpoint(NOOP)').get() as { log: number, checkpointed: number }
}

function logSize (file: string): number {
  return statSync(`${file}-wal`).size
}

/** A connection that makes no checkpoint itself. */
function openWriter (t: Test, file: string) {
  const database = openFile(t, file)
  database.pragma('journal_mode = WAL')
  database.pragma('wal_autocheckpoint = 0')
  database.exec('CREATE TABLE IF NOT EXISTS page (content BLOB)')
  const write = (pages: number): void => {
    // A row fills most of a page.
    database.prepare(`WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
      INSERT INTO page SELECT randomblob(3000) FROM number`).run(pages)
  }
  return { database, write }
}

async function rename (url: string): Promise<number> {
  return (await update(url, { contactId: 'maria', name: 'Maria B' })).status
}

t.test('a long log that another connection has written: moved into the file', async (t) => {
  const { url, stop, err, file } = await serveFile(t, [], { checkpointWorker: worker })
  const { database, write } = openWriter(t, file)
  write(1000)
  await until(() => logOf(database).checkpointed >= 1000)
  t.equal(await rename(url), 200)
  t.equal(await stop(), 0)
  t.equal(err(), '')
})

t.test('no worker: serve still answers', async (t) => {
  for (const [name, checkpointWorker, message] of [
    // The constructor throws, as it does if the system allows no more threads.
    ['cannot be made', new URL('http://localhost/'), 'SQLite makes them itself'],
    ['cannot start', new URL('nowhere.js', import.meta.url), 'SQLite makes them itself'],
    ['ends', 'process.exit(1)', 'SQLite makes them itself'],
    ['dies', 'throw new Error("out of memory")', 'out of memory'],
    ['fails', 'require("worker_threads").parentPort.postMessage({ message: "disk full" }); setInterval(() => 0, 1000)', '"message":"disk full"'],
    ['hangs', 'for (;;);', '']
  ] as const) {
    await t.test(`the worker ${name}`, async (t) => {
      const { url, stop, err } = await serveFile(t, [], { checkpointWorker })
      await until(() => err().includes(message))
      t.equal(await rename(url), 200)
      t.equal(await stop(), 0)
      t.equal(err().trimEnd().split('\n').length, 1)
    })
  }
})

t.test('writes without a pause: the log stays short, also without a worker', async (t) => {
  for (const [name, program] of [['works', worker], ['has died', 'throw new Error("out of memory")'], ['hangs', 'for (;;);']] as const) {
    const file = join(t.testdir(), 'a.db')
    const { database, write } = openWriter(t, file)
    database.pragma('synchronous = FULL')
    database.pragma('wal_autocheckpoint = 2000')
    const app = fastify()
    startCheckpoints(program, database, app)
    for (let count = 0; count < 250; count++) {
      write(50)
      await setImmediate()
    }
    await app.close()
    // SQLite makes its own at 8 MB, and later if the worker is in the middle of one. `serve` has 41 MB instead of 8, and so stays below 64.
    t.ok(logSize(file) < 8.24e6 + 22e6, `${name}: ${logSize(file)} of 51,500,000 bytes`)
  }
})

t.test('serve: a reader lets the log grow, and it is cut when the reader has ended', async (t) => {
  const { url, stop, file } = await serveFile(t, [], { checkpointWorker: worker })
  const { write } = openWriter(t, file)
  const reader = openFile(t, file)
  reader.exec('BEGIN; SELECT count(*) FROM page')
  for (let count = 0; count < 16; count++) write(1000)
  t.ok(logSize(file) > 64e6)
  reader.exec('COMMIT')
  await until(async () => await rename(url) === 200 && logSize(file) < 42e6)
  t.equal(await stop(), 0)
})

/** Runs the first checkpoint at a limit of 100 pages, and returns the modes that it took. */
async function runFirst (t: Test, database: Database.Database, afterPassive: () => void = () => undefined): Promise<string[]> {
  const modes: string[] = []
  const { fired, fire } = signal()
  const prepare = (sql: string) => {
    const mode = /\((.*)\)/.exec(sql)?.[1]
    const statement = database.prepare(sql)
    return {
      get: () => {
        const row = statement.get()
        if (mode !== undefined) modes.push(mode)
        if (mode === 'PASSIVE') afterPassive()
        process.nextTick(fire)
        return row
      }
    }
  }
  const stop = checkpointRepeatedly({ exec: (sql) => database.exec(sql), prepare }, 100, ({ message }) => { t.fail(message) })
  await until(() => modes.length > 0)
  await fired
  stop()
  return modes
}

t.test('checkpoints: none for a short log, PASSIVE for a longer one, then RESTART for a long one', async (t) => {
  for (const [pages, modes] of [[1, ['NOOP']], [15, ['NOOP', 'PASSIVE']], [60, ['NOOP', 'PASSIVE', 'RESTART']]] as const) {
    const file = join(t.testdir(), `${pages}.db`)
    const { database, write } = openWriter(t, file)
    write(pages)
    const [version] = database.prepare('SELECT sqlite_version()').pluck().all() as [string]
    const hasNoop = Number(version.split('.')[1]) >= 51
    t.strictSame(await runFirst(t, openFile(t, file)), hasNoop ? modes : modes.filter((mode) => mode !== 'PASSIVE'), 'before, NOOP was PASSIVE')
    t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
  }
})

t.test('a log that is written to during each checkpoint: still restarted', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { database, write } = openWriter(t, file)
  write(60)
  await runFirst(t, openFile(t, file), () => { write(1) })
  write(1)
  t.ok(logOf(database).log < 10)
})

t.test('a reader blocks the checkpoint: no writer waits, and the log is moved later', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { database, write } = openWriter(t, file)
  write(1)
  const reader = openFile(t, file)
  reader.exec('BEGIN; SELECT count(*) FROM page')
  write(60)
  await runFirst(t, openFile(t, file))
  write(1)
  const { log, checkpointed } = logOf(database)
  t.ok(checkpointed < log)
  reader.exec('COMMIT')
  await runFirst(t, openFile(t, file))
  t.equal(logOf(database).checkpointed, logOf(database).log)
})

t.test('synchronous = OFF: checkpoints are synced all the same', async (t) => {
  const database = openFile(t, join(t.testdir(), 'a.db'))
  database.pragma('synchronous = OFF')
  checkpointRepeatedly(database, 100, () => undefined)()
  t.equal(database.pragma('synchronous', { simple: true }), 2)
})

t.test('a checkpoint that fails: the error is reported with its code', async (t) => {
  const error = Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
  const { fired, fire } = signal()
  let reported: unknown
  const stop = checkpointRepeatedly({ exec: () => undefined, prepare: () => { throw error } }, 100, (error) => {
    reported = error
    fire()
  })
  await fired
  stop()
  t.strictSame(reported, { message: 'database or disk is full', code: 'SQLITE_FULL', errcode: undefined })
})
