// GET /health: whether the database can be read and written.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, rmdirSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { fill } from '../helpers/test-server.js'
import { program } from '../helpers/built-program.js'
import { postgres } from '../helpers/engines.js'
import { openSchema } from '../helpers/postgres.js'
import { until } from '../helpers/waiting.js'
import { openDatabase, openFile } from './sqlite-files.js'
import { cli, serve, serveFile, update } from './run-cli.js'
import { waitForCurl } from './printed-curl.js'
import { openRawConnection } from './start-server.js'

const healthy = [200, { status: 'ok' }]
const unhealthy = (reason: string) => [503, { status: 'unavailable', reason }]

async function health (url: string): Promise<unknown[]> {
  const reply = await fetch(`${url}/health`)
  return [reply.status, await reply.json()]
}

const setEmails = async (url: string, emails: string[]) => (await update(url, { contactId: 'maria', emails })).status

t.test('an update that fails although the database can be written: healthy', async (t) => {
  const { url, database } = await serveFile(t, ['--log-level', 'silent'])
  database.exec("CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_contact_email BEGIN SELECT RAISE(ABORT, 'no'); END")
  database.pragma('user_version = 7')
  t.equal(await setEmails(url, ['a@example.com']), 500)
  t.strictSame(await health(url), healthy)
  t.equal(database.pragma('user_version', { simple: true }), 7, 'not changed')
})

t.test('a database that another program locks: 503 after a refused update, and healthy once it is unlocked', async (t) => {
  const { url, err, database } = await serveFile(t)
  database.exec('BEGIN IMMEDIATE')
  t.strictSame(await health(url), healthy, 'nothing has failed yet')
  t.equal(await setEmails(url, ['a@example.com']), 503)
  for (let call = 0; call < 2; call++) t.strictSame(await health(url), unhealthy('write-failed'))
  t.match(err(), 'the database cannot be written')
  database.exec('COMMIT')
  t.strictSame(await health(url), healthy)
  t.equal(await setEmails(url, ['b@example.com']), 200)
})

t.test('many requests at once: share queries of the database', async (t) => {
  const { url, port, err, database } = await serveFile(t)
  database.exec('DROP TABLE omnichannel_migration')
  t.strictSame(await health(url), unhealthy('read-failed'))
  const { socket, closed } = await openRawConnection(port)
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50) + 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.equal((await closed).split('"read-failed"').length, 51)
  const failedChecks = err().split('the database does not answer').length - 1
  t.ok(failedChecks > 0 && failedChecks < 20)
})

/** A disk of 8 MB, with a server on it. Undefined if no disk can be mounted here. */
async function startOnSmallDisk (t: Test) {
  const disk = mkdtempSync(join(tmpdir(), 'small-disk-'))
  t.teardown(() => { rmdirSync(disk) })
  try {
    await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', disk])
  } catch {
    return undefined
  }
  const file = join(disk, 'a.db')
  const server = spawn(process.execPath, [program, 'serve', '--demo', '--port', '0', '--log-level', 'silent', '--database', file])
  t.teardown(async () => {
    server.kill('SIGKILL')
    await once(server, 'exit')
    await promisify(execFile)('umount', [disk])
  })
  const { origin, send } = await waitForCurl(server.stdout)
  const filler = join(disk, 'filler')
  const fillUp = () => {
    const descriptor = openSync(filler, 'w')
    t.throws(() => { for (;;) writeSync(descriptor, Buffer.alloc(4096)) }, { code: 'ENOSPC' })
    closeSync(descriptor)
  }
  return { origin, file, statusOf: async (phones?: string[]) => (await send(phones)).status, fillUp, makeRoom: () => { rmSync(filler) } }
}

t.test('a full disk: 503 while updates fail, and healthy once there is room', async (t) => {
  const started = await startOnSmallDisk(t)
  if (started === undefined) return t.pass('nothing can be mounted here')
  const { origin, file, statusOf, fillUp, makeRoom } = started
  t.equal(await statusOf(), 200)
  // A checkpoint would make room in the log.
  const reader = openFile(t, file)
  reader.exec('BEGIN; SELECT count(*) FROM omnichannel_contact')
  fillUp()
  // Some updates fit into free pages of the log.
  await until(async () => await statusOf() === 500 && (await health(origin))[0] === 503)
  t.strictSame(await health(origin), unhealthy('write-failed'))
  t.equal(await statusOf(), 500)
  t.strictSame(await health(origin), unhealthy('write-failed'))
  makeRoom()
  t.strictSame(await health(origin), healthy)
  t.equal(await statusOf(), 200)
})

t.test('a disk that is smaller than the usual log: updates go on', async (t) => {
  const started = await startOnSmallDisk(t)
  if (started === undefined) return t.pass('nothing can be mounted here')
  const statuses = new Set<number>()
  // Each list writes 50 KB to the log, so the log would have 15 MB.
  const phones = (list: number) => Array.from({ length: 250 }, (_, index) => `${list}.${index} ${'0'.repeat(200)}`)
  for (let list = 0; list < 300; list++) statuses.add(await started.statusOf(phones(list)))
  t.strictSame([...statuses], [200])
  t.strictSame(await health(started.origin), healthy)
})

postgres.test('PostgreSQL, an update that fails by a constraint: healthy', async (t) => {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  const { url: origin } = await serve(t, ['--database', url, '--log-level', 'silent'])
  await fill(db)
  await db.exec('ALTER TABLE omnichannel_contact_email ADD CHECK (false) NOT VALID')
  t.equal(await setEmails(origin, ['a@example.com']), 500)
  t.strictSame(await health(origin), healthy)
})

postgres.test('PostgreSQL is read-only: healthy until an update has failed, then 503', async (t) => {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  t.match(await cli(['migrate', '--database', url]), { code: 0 })
  await fill(db)
  t.match(url, /&options=[^&]+$/, 'the URL ends with options, so another can be appended')
  const { url: origin } = await serve(t, ['--database', `${url}%20-c%20default_transaction_read_only%3Don`, '--log-level', 'silent'])
  t.strictSame(await health(origin), healthy)
  t.ok(await setEmails(origin, ['a@example.com']) >= 500)
  t.strictSame(await health(origin), unhealthy('write-failed'))
})

postgres.test('PostgreSQL does not answer the test write of GET /health: 503, one client is in use, and the server still ends', async (t) => {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  const { url: origin, stop } = await serve(t, ['--database', url, '--log-level', 'silent'])
  await fill(db)
  await db.exec('ALTER TABLE omnichannel_contact_email ADD CHECK (false) NOT VALID')
  const lock = 'BEGIN; LOCK TABLE omnichannel_migration IN SHARE MODE'
  // Inside a transaction, pg_stat_activity stays the same until it is cleared.
  const countWaiting = async () => (await db.rows(`SELECT pg_stat_clear_snapshot(), pid FROM pg_stat_activity
    WHERE application_name = current_schema() AND wait_event_type = 'Lock'`)).length
  await db.exec(lock)
  t.equal(await setEmails(origin, ['a@example.com']), 500)
  for (let call = 0; call < 2; call++) t.strictSame(await health(origin), unhealthy('write-failed'))
  t.equal(await countWaiting(), 1)
  await db.exec('COMMIT')
  await until(async () => (await health(origin))[0] === 200)
  await db.exec(lock)
  t.equal(await setEmails(origin, ['a@example.com']), 500)
  t.strictSame(await health(origin), unhealthy('write-failed'))
  t.equal(await stop(), 0)
  await db.exec('COMMIT')
})

t.test('a database file that other users can read: one warning', { skip: process.platform === 'win32' && 'no permissions' }, async (t) => {
  const folder = t.testdir()
  for (const [mode, count] of [[0o600, 0], [0o640, 1], [0o604, 1], [0o622, 1]] as const) {
    const file = join(folder, `${mode}.db`)
    openDatabase(file).close()
    chmodSync(file, mode)
    const { err, stop } = await serve(t, ['--database', file])
    await stop()
    t.equal(err().split('the database file can be read').length - 1, count, mode.toString(8))
    if (count === 1) t.match(err(), `"file":"${file}"`)
  }
  const created = await serve(t, ['--database', join(folder, 'new.db')])
  const memory = await serve(t, ['--database', ':memory:'])
  for (const { stop, err } of [created, memory]) {
    await stop()
    t.equal(err(), '')
  }
})
