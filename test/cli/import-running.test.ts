// An import while other programs use the database, and signals to an import.

import { copyFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { build } from '../helpers/test-server.js'
import { waitTurns, until } from '../helpers/waiting.js'
import { withDatabase, openDatabase, openFile, replaceMethod } from './sqlite-files.js'
import { cli, startCommand } from './run-cli.js'

const contactLine = (id: number) => `{"_id":"c${id}","name":"Contact ${id}"}\n`

/** An input that goes on until the test is over, with pauses for other work. */
function endlessInput (isOver: () => boolean): Readable {
  return Readable.from((async function * () {
    for (let first = 0; !isOver(); first += 100) {
      yield Buffer.from(Array.from({ length: 100 }, (_, index) => contactLine(first + index)).join(''))
      await waitTurns(1)
    }
  })())
}

/** Whether an import has read all that was pushed into its input, and stored it in a transaction that is still open. */
function holdsLines (stdin: Readable, file: string): boolean {
  // The import listens for errors while it reads.
  if (stdin.listenerCount('error') === 0 || stdin.readableLength > 0) return false
  const other = openDatabase(file, { timeout: 0 })
  try {
    other.exec('BEGIN IMMEDIATE; ROLLBACK')
    return false
  } catch {
    return true
  } finally {
    other.close()
  }
}

/** Three lines, and then neither more nor an end. */
function pausedInput (): Readable {
  const stream = new Readable({ read: () => undefined })
  stream.push(Buffer.from(contactLine(1) + contactLine(2) + contactLine(3)))
  return stream
}

const countContacts = (file: string) => withDatabase(file, (database) => database.prepare('SELECT count(*) FROM omnichannel_contact').pluck().get())

t.test('--batch of any size: a running server can write between two batches', async (t) => {
  for (const batch of ['1', '1000']) {
    const file = join(t.testdir(), 'a.db')
    const database = openDatabase(file)
    database.pragma('journal_mode = WAL')
    const { update } = await build(t, { database, lockTimeout: 2000 })
    const rows = database.prepare('SELECT count(*) FROM omnichannel_contact').pluck()
    const before = rows.get() as number

    let isOver = false
    const importing = cli(['import', '--database', file, '--contacts', '-', '--batch', batch], { stdin: endlessInput(() => isOver) })
    await until(() => rows.get() as number > before)
    for (const name of ['Maria B', 'Maria C', 'Maria D']) t.match(await update({ contactId: 'maria', name }), { statusCode: 200 }, `--batch ${batch}`)
    isOver = true
    t.match(await importing, { code: 0, err: '' })
  }
})

t.test('an import that has begun its second file: the rows of the first are in the database file and not only in its log', async (t) => {
  const folder = t.testdir({ 'users.jsonl': '{"_id":"u1","username":"ann","roles":[]}' })
  const file = join(folder, 'a.db')
  const stdin = pausedInput()
  const { ended, sendSignal } = startCommand(['import', '--database', file, '--users', join(folder, 'users.jsonl'), '--contacts', '-'], { stdin })
  await until(() => holdsLines(stdin, file))
  copyFileSync(file, join(folder, 'without-log.db'))
  sendSignal('SIGINT')
  t.match(await ended, { code: 130 })
  t.strictSame(withDatabase(join(folder, 'without-log.db'), (database) => database.prepare('SELECT id FROM omnichannel_user').pluck().all()), ['u1'])
})

t.test('a signal: a message about the imported lines, and no file is left', async (t) => {
  const scenarios: Array<[signal: 'SIGINT' | 'SIGTERM', argv: string[], code: number, kept: string, rows: number]> = [
    ['SIGINT', [], 130, 'nothing of this file was imported', 0],
    ['SIGTERM', [], 143, 'nothing of this file was imported', 0],
    ['SIGINT', ['--batch', '2', '--on-error', 'skip'], 130, 'the first 3 lines were imported', 3]
  ]
  for (const [signal, argv, expected, kept, rows] of scenarios) {
    const folder = t.testdir({ 'rooms.jsonl': '{"_id":"r","t":"l","contactId":"c1"}' })
    const file = join(folder, 'a.db')
    const stdin = pausedInput()
    const { ended, sendSignal, listenedSignals } = startCommand(
      ['import', '--database', file, '--contacts', '-', '--rooms', join(folder, 'rooms.jsonl'), ...argv], { stdin })
    await until(() => argv.length > 0 ? stdin.readableLength === 0 && countContacts(file) === rows : holdsLines(stdin, file))
    // npm sends each signal of the terminal twice.
    sendSignal(signal)
    sendSignal(signal)
    t.strictSame(await ended, { code: expected, out: '', err: `-, line 3: interrupted; ${kept}\n` })
    t.strictSame(listenedSignals(), [])
    t.strictSame(readdirSync(folder).sort(), ['a.db', 'rooms.jsonl'], 'no -wal, no -shm')
    t.equal(countContacts(file), rows)
  }
})

t.test('a signal before the first line: nothing is imported', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const stdin = new Readable({ read: () => undefined })
  const { ended, sendSignal, listenedSignals } = startCommand(['import', '--database', file, '--contacts', '-'], { stdin })
  await until(() => listenedSignals().length > 0)
  sendSignal('SIGINT')
  t.strictSame(await ended, { code: 130, out: '', err: '-: interrupted; nothing of this file was imported\n' })
})

t.test('a signal while the indexes are made: nothing of the file is imported', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const stdin = Readable.from([Buffer.from(contactLine(1))])
  const { ended, sendSignal } = startCommand(['import', '--database', file, '--contacts', '-'], { stdin })
  replaceMethod(t, 'exec', (_handle, sql, call) => {
    if (sql.startsWith('CREATE INDEX omnichannel_contact_')) sendSignal('SIGINT')
    return call()
  })
  t.strictSame(await ended, { code: 130, out: '', err: '-, line 1: interrupted; nothing of this file was imported\n' })
  t.equal(countContacts(file), 0)
})

t.test('a database that another program writes to: one sentence', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--database', file])
  const other = openFile(t, file)
  other.exec('BEGIN IMMEDIATE')
  t.strictSame(await cli(['import', '--database', file, '--contacts', '-'], { stdin: contactLine(1) }),
    { code: 1, out: '', err: '-: database is locked; nothing of this file was imported\n' })
})
