// The input of an import: named pipes, stdin, an input that pauses, lone surrogates.

import { execFileSync, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { closeSync, existsSync, openSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import { withInterruption, type Io } from '../../src/cli/shared.js'
import { program } from '../helpers/children.js'
import { turns, until } from '../helpers/waiting.js'
import { lookInto, openDatabase, openFile } from './files.js'
import { cli, start } from './io.js'

const good = (id: number) => `{"_id":"c${id}","name":"Contact ${id}"}\n`
const skip = process.platform !== 'linux' && 'needs /proc'

function holdsOpen (pid: number, file: string): boolean {
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
    await until(() => holdsOpen(child.pid!, pipe))
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
  await until(() => holdsOpen(process.pid, pipe))
  const writer = spawn('sh', ['-c', `printf '%s' '${good(1)}${good(2)}' > "$0"`, pipe])
  t.match(await importing, { code: 0, out: /^contacts: 2 new.*\nrooms: 1 new/, err: '' })
  t.equal(writer.exitCode ?? (await once(writer, 'exit'))[0], 0)
})

t.test('a second signal: ends the process at once, unless it follows the first immediately', async (t) => {
  const streams = { stdin: Readable.from([]), stdout: new PassThrough(), stderr: new PassThrough() }
  const io = Object.assign(new EventEmitter(), streams) as unknown as Io & EventEmitter
  await withInterruption(io, async (signal) => {
    io.emit('SIGINT', 'SIGINT')
    t.equal(signal.reason, 'SIGINT')
    t.strictSame(io.eventNames(), ['SIGINT', 'SIGTERM'], 'npm sends each signal of the terminal twice')
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
  const folder = t.testdir({ 'contacts.jsonl': good(1) })
  const fd = openSync(join(folder, 'contacts.jsonl'), 'r')
  t.teardown(() => { closeSync(fd) })
  const stdin = Object.assign(Readable.from([Buffer.from(good(1))]), { fd })
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
  stdin.push(Buffer.from(`${good(1)}{"_id":`))
  await until(() => count.get() === 1)
  write()
  stdin.push(Buffer.from('"c2","name":7}\n'))
  stdin.push(null)
  t.match(await importing, { code: 1, err: '-, line 2: name is not text; the first 1 lines were imported\n' })
  t.equal(count.get(), 1)
})

t.test('no --batch: the database is locked from the first line on', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const other = openFile(t, file, { timeout: 0 })
  const stdin = new Readable({ read: () => undefined })
  const { ended, listeners } = start(['import', '--contacts', '-', '--database', file], { stdin })
  await until(() => listeners().length > 0)
  other.exec('BEGIN IMMEDIATE; COMMIT')
  stdin.push(Buffer.from('{"_id":'))
  await until(() => stdin.readableLength === 0)
  await turns(10)
  other.exec('BEGIN IMMEDIATE; COMMIT')
  stdin.push(Buffer.from('"a"}\n'))
  stdin.push(null)
  t.match(await ended, { code: 0, out: /^contacts: 1 new/ })
})

t.test('a lone surrogate: stored as U+FFFD in every column, as over HTTP', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'a.db')
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
  const stored = lookInto(file, (database) => {
    const tables = database.prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all()
    return tables.flatMap((table) => database.prepare(`SELECT * FROM ${table}`).all() as Array<Record<string, unknown>>)
  }).flatMap((row) => Object.entries(row)).filter(([, value]) => String(value).includes('\uFFFD') || /\\ud8/i.test(String(value)))
  t.strictSame(Object.fromEntries(stored.filter(([column]) => ['custom_fields', 'conflicting_fields', 'details'].includes(column))), {
    custom_fields: '{"\uFFFD":["\uFFFD",{"a":{"b":"\uFFFD"}}]}',
    conflicting_fields: '[{"field":"\uFFFD","value":"\uFFFD"}]',
    details: '{"\uFFFD":"\uFFFD"}'
  })
  t.strictSame(stored.map(([column]) => column).sort(), ['address', 'conflicting_fields', 'custom_fields', 'details', 'fname', 'fname', 'label',
    'name', 'name', 'name', 'name', 'name', 'name', 'phone_number', 'regexp', 'role', 'username', 'value'])
})
