// The worker thread of `serve` that moves SQLite's log into the database file.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { checkpointRepeatedly, startCheckpoints } from '../../src/cli/serve/checkpoints.js'
import { checkpointWorker } from '../helpers/built-program.js'
import { signal, until } from '../helpers/waiting.js'
import { openFile } from './sqlite-files.js'
import { serveFile, update } from './run-cli.js'

/** The number of pages in the log, and how many of them are in the database file. */
function pagesInLog (database: Database.Database): { log: number, checkpointed: number } {
  return database.prepare('PRAGMA wal_checkpoint(NOOP)').get() as { log: number, checkpointed: number }
}

/** The size of the log in bytes. */
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
  const { url, stop, err, file } = await serveFile(t, [], { checkpointWorker })
  const { database, write } = openWriter(t, file)
  write(1000)
  await until(() => pagesInLog(database).checkpointed >= 1000)
  t.equal(await rename(url), 200)
  t.equal(await stop(), 0)
  t.equal(err(), '')
})

const outOfMemory = 'throw new Error("out of memory")'
const endlessLoop = 'for (;;);'
const reportFullDisk = 'require("worker_threads").parentPort.postMessage({ message: "disk full" }); setInterval(() => 0, 1000)'
/** Workers that make no checkpoints: a file or a program, and what the log then says. */
const brokenWorkers: Record<string, [worker: URL | string, logged: string]> = {
  // The constructor throws, as it does if the system allows no more threads.
  'cannot be created': [new URL('http://localhost/'), 'SQLite makes them itself'],
  'cannot start': [new URL('nowhere.js', import.meta.url), 'SQLite makes them itself'],
  ends: ['process.exit(1)', 'SQLite makes them itself'],
  throws: [outOfMemory, 'out of memory'],
  'reports an error': [reportFullDisk, '"message":"disk full"'],
  hangs: [endlessLoop, '']
}
for (const [name, [worker, logged]] of Object.entries(brokenWorkers)) {
  t.test(`the worker ${name}: serve still answers, and logs one line`, async (t) => {
    const { url, stop, err } = await serveFile(t, [], { checkpointWorker: worker })
    await until(() => err().includes(logged))
    t.equal(await rename(url), 200)
    t.equal(await stop(), 0)
    t.equal(err().trimEnd().split('\n').length, 1)
  })
}

for (const [name, worker] of [['works', checkpointWorker], ['has thrown', outOfMemory], ['hangs', endlessLoop]] as const) {
  t.test(`writes without a pause, while the worker ${name}: the log stays short`, async (t) => {
    const file = join(t.testdir(), 'a.db')
    const { database, write } = openWriter(t, file)
    database.pragma('synchronous = FULL')
    // Then SQLite makes a checkpoint itself at 8.24 MB. `serve` has 41 MB instead.
    database.pragma('wal_autocheckpoint = 2000')
    const app = fastify()
    startCheckpoints(worker, database, app)
    for (let count = 0; count < 250; count++) {
      write(50)
      await setImmediate()
    }
    await app.close()
    // SQLite makes its checkpoint later if the worker is in the middle of one. With 22 MB more than its 41 MB, `serve` stays below 64.
    t.ok(logSize(file) < 8.24e6 + 22e6, `${logSize(file)} bytes of the 51,500,000 that were written`)
  })
}

t.test('serve: a reader lets the log grow, and it is cut when the reader has ended', async (t) => {
  const { url, stop, file } = await serveFile(t, [], { checkpointWorker })
  const { write } = openWriter(t, file)
  const reader = openFile(t, file)
  reader.exec('BEGIN; SELECT count(*) FROM page')
  for (let count = 0; count < 16; count++) write(1000)
  t.ok(logSize(file) > 64e6)
  reader.exec('COMMIT')
  // 10,000 pages of 4 KB, and what belongs to them.
  await until(async () => await rename(url) === 200 && logSize(file) < 42e6)
  t.equal(await stop(), 0)
})

/**
 * Runs the first round of checkpoints, for a log that SQLite would check at 100 pages. Returns the modes of wal_checkpoint in their order.
 * `afterPassive` runs after a checkpoint in the mode PASSIVE.
 */
async function runFirstRound (t: Test, database: Database.Database, afterPassive: () => void = () => undefined): Promise<string[]> {
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

for (const [length, pages, modes] of [['short', 1, ['NOOP']], ['longer', 15, ['NOOP', 'PASSIVE']], ['long', 60, ['NOOP', 'PASSIVE', 'RESTART']]] as const) {
  t.test(`a ${length} log of ${pages} pages: wal_checkpoint with ${modes.join(', ')}`, async (t) => {
    const file = join(t.testdir(), 'a.db')
    const { database, write } = openWriter(t, file)
    write(pages)
    const [version] = database.prepare('SELECT sqlite_version()').pluck().all() as [string]
    // Before 3.51, SQLite takes NOOP for PASSIVE, so no second checkpoint is needed.
    const hasNoop = Number(version.split('.')[1]) >= 51
    t.strictSame(await runFirstRound(t, openFile(t, file)), hasNoop ? modes : modes.filter((mode) => mode !== 'PASSIVE'))
    t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
  })
}

t.test('a log that is written to during each checkpoint: still restarted', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { database, write } = openWriter(t, file)
  write(60)
  await runFirstRound(t, openFile(t, file), () => { write(1) })
  write(1)
  t.ok(pagesInLog(database).log < 10)
})

t.test('a reader blocks the checkpoint: no writer waits, and the log is moved later', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { database, write } = openWriter(t, file)
  write(1)
  const reader = openFile(t, file)
  reader.exec('BEGIN; SELECT count(*) FROM page')
  write(60)
  await runFirstRound(t, openFile(t, file))
  write(1)
  const { log, checkpointed } = pagesInLog(database)
  t.ok(checkpointed < log)
  reader.exec('COMMIT')
  await runFirstRound(t, openFile(t, file))
  t.equal(pagesInLog(database).checkpointed, pagesInLog(database).log)
})

t.test('a handle with synchronous = OFF: set to FULL, so that checkpoints are synced', async (t) => {
  const database = openFile(t, join(t.testdir(), 'a.db'))
  database.pragma('synchronous = OFF')
  checkpointRepeatedly(database, 100, () => undefined)()
  const FULL = 2
  t.equal(database.pragma('synchronous', { simple: true }), FULL)
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
