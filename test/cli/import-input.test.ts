// The input of an import: named pipes, stdin, an input that pauses, half characters.

import { execFileSync, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { closeSync, existsSync, openSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import { withInterruption, type Io } from '../../src/cli/shared.js'
import { allRows } from '../helpers/test-server.js'
import { program } from '../helpers/built-program.js'
import { waitTurns, until } from '../helpers/waiting.js'
import { withDb, openDatabase, openFile } from './sqlite-files.js'
import { cli, startCommand } from './run-cli.js'

const contactLine = (id: number) => `{"_id":"c${id}","name":"Contact ${id}"}\n`
const skip = process.platform !== 'linux' && 'needs /proc'

/** Whether a process has opened the file. */
function hasOpened (pid: number, file: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === file)
  } catch {
    // A file was closed meanwhile.
    return false
  }
}

t.test('a named pipe without a writer: a signal ends the import, and no file is made', { skip }, async (t) => {
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
    const folder = t.testdir()
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    const child = spawn(process.execPath, [program, 'import', '--contacts', pipe, '--database', join(folder, 'a.db')])
    let err = ''
    child.stderr.on('data', (data) => { err += String(data) })
    await until(() => hasOpened(child.pid!, pipe))
    child.kill(signal)
    t.strictSame(await once(child, 'exit'), [code, null])
    t.equal(err, `${pipe}: interrupted; nothing of this file was imported\n`)
    t.strictSame(readdirSync(folder), ['pipe'])
  }
})

t.test('a named pipe: the import waits for its writer and reads to its end', { skip }, async (t) => {
  const folder = t.testdir({ 'rooms.jsonl': '{"_id":"r","t":"l","contactId":"c1"}' })
  const [pipe, file] = [join(folder, 'pipe'), join(folder, 'a.db')]
  execFileSync('mkfifo', [pipe])
  const importing = cli(['import', '--contacts', pipe, '--rooms', join(folder, 'rooms.jsonl'), '--database', file])
  await until(() => hasOpened(process.pid, pipe))
  const writer = spawn('sh', ['-c', `printf '%s' '${contactLine(1)}${contactLine(2)}' > "$0"`, pipe])
  t.match(await importing, { code: 0, out: /^contacts: 2 new.*\nrooms: 1 new/, err: '' })
  t.equal(writer.exitCode ?? (await once(writer, 'exit'))[0], 0)
})

t.test('a signal that npm repeats at once: the second does not end the process', async (t) => {
  const streams = { stdin: Readable.from([]), stdout: new PassThrough(), stderr: new PassThrough() }
  const io = Object.assign(new EventEmitter(), streams) as unknown as Io & EventEmitter
  await withInterruption(io, async (signal) => {
    io.emit('SIGINT', 'SIGINT')
    t.equal(signal.reason, 'SIGINT')
    t.strictSame(io.eventNames(), ['SIGINT', 'SIGTERM'], 'the command still listens')
    await until(() => io.eventNames().length === 0)
  })
})

t.test('stdin that is a folder, or cannot be read: one sentence, and no new database', async (t) => {
  const folder = t.testdir({ data: {} })
  const file = join(folder, 'a.db')
  const fd = openSync(join(folder, 'data'), 'r')
  t.teardown(() => { closeSync(fd) })
  const stdin = Object.assign(Readable.from([]), { fd })
  t.strictSame(await cli(['import', '--contacts', '-', '--database', file], { stdin }), { code: 1, out: '', err: 'The file - cannot be read: it is a folder\n' })
  const failing = new Readable({ read () { this.destroy(new Error('EIO: i/o error, read')) } })
  t.strictSame(await cli(['import', '--contacts', '-', '--database', file], { stdin: failing }), { code: 1, out: '', err: 'The file - cannot be read: EIO: i/o error, read\n' })
  t.notOk(existsSync(file))
})

t.test('stdin that is a file: imported', async (t) => {
  const folder = t.testdir({ 'contacts.jsonl': contactLine(1) })
  const fd = openSync(join(folder, 'contacts.jsonl'), 'r')
  t.teardown(() => { closeSync(fd) })
  const stdin = Object.assign(Readable.from([Buffer.from(contactLine(1))]), { fd })
  t.match(await cli(['import', '--contacts', '-', '--database', join(folder, 'a.db')], { stdin }), { code: 0, out: /^contacts: 1 new/ })
})

t.test('--batch with an input that pauses: other connections can write meanwhile', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const other = openDatabase(file, { timeout: 0 })
  t.teardown(() => { other.close() })
  const count = other.prepare('SELECT count(*) FROM omnichannel_contact').pluck()
  const stdin = new Readable({ read: () => undefined })
  const importing = cli(['import', '--contacts', '-', '--batch', '1000', '--database', file], { stdin })
  const write = () => other.exec("UPDATE omnichannel_user SET name = 'Ann'")
  write()
  // Two lines, of which the second has not arrived yet.
  stdin.push(Buffer.from(`${contactLine(1)}{"_id":`))
  await until(() => count.get() === 1)
  write()
  stdin.push(Buffer.from('"c2","name":7}\n'))
  stdin.push(null)
  t.match(await importing, { code: 1, err: '-, line 2: name is not text; the first 1 lines were imported\n' })
  t.equal(count.get(), 1)
})

t.test('no --batch: other connections can write until the first line is complete', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const other = openFile(t, file, { timeout: 0 })
  const stdin = new Readable({ read: () => undefined })
  const { ended, listenedSignals } = startCommand(['import', '--contacts', '-', '--database', file], { stdin })
  await until(() => listenedSignals().length > 0)
  other.exec('BEGIN IMMEDIATE; COMMIT')
  stdin.push(Buffer.from('{"_id":'))
  await until(() => stdin.readableLength === 0)
  await waitTurns(10)
  other.exec('BEGIN IMMEDIATE; COMMIT')
  stdin.push(Buffer.from('"a"}\n'))
  stdin.push(null)
  t.match(await ended, { code: 0, out: /^contacts: 1 new/ })
})

t.test('a lone surrogate: stored as U+FFFD in every column, as over HTTP', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'a.db')
  /** Half of a character, as JSON writes it. */
  const half = '\\ud83d'
  const documents: Record<string, string> = {
    'custom-fields': `{"_id":"f","label":"${half}","regexp":"${half}"}`,
    users: `{"_id":"u","username":"${half}","name":"${half}","roles":["${half}"],"services":{"resume":{"loginTokens":[{"type":"personalAccessToken","hashedToken":"h","name":"${half}"}]}}}`,
    contacts: `{"_id":"c","name":"a${half}","emails":[{"address":"${half}"}],"phones":[{"phoneNumber":"${half}"}],"customFields":{"${half}":["${half}",{"a":{"b":"${half}"}}]},` +
      `"conflictingFields":[{"field":"${half}","value":"${half}"}],"channels":[{"name":"${half}","visitor":{"visitorId":"v","source":{"type":"sms"}},"details":{"${half}":"${half}"},"value":"${half}"}]}`,
    rooms: `{"_id":"r","t":"l","contactId":"c","fname":"${half}"}`,
    subscriptions: `{"_id":"s","rid":"r","v":{"_id":"v"},"name":"${half}","fname":"${half}"}`,
    inquiries: `{"_id":"i","rid":"r","v":{"_id":"v"},"name":"${half}"}`
  }
  for (const [kind, document] of Object.entries(documents)) {
    writeFileSync(join(folder, 'documents.jsonl'), document)
    t.match(await cli(['import', `--${kind}`, join(folder, 'documents.jsonl'), '--database', file]), { code: 0, err: '' }, kind)
  }
  const rows = Object.values(await withDb(file, allRows)).flat()
  /** The cells that have U+FFFD or an escaped half, with their columns. */
  const cells = rows.flatMap((row) => Object.entries(row)).filter(([, value]) => /\uFFFD|\\ud8/i.test(String(value)))
  const jsonCells = cells.filter(([column]) => ['custom_fields', 'conflicting_fields', 'details'].includes(column))
  t.strictSame(Object.fromEntries(jsonCells), {
    custom_fields: '{"\uFFFD":["\uFFFD",{"a":{"b":"\uFFFD"}}]}',
    conflicting_fields: '[{"field":"\uFFFD","value":"\uFFFD"}]',
    details: '{"\uFFFD":"\uFFFD"}'
  })
  t.strictSame(cells.map(([column]) => column).sort(), ['address', 'conflicting_fields', 'custom_fields', 'details', 'fname', 'fname', 'label',
    'name', 'name', 'name', 'name', 'name', 'name', 'phone_number', 'regexp', 'role', 'username', 'value'])
})
