// The log of `serve` while its reader stalls.

import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import t from 'tap'
import { openLog } from '../../src/cli/serve/server.js'
import { program } from '../helpers/built-program.js'
import { startCommand } from './run-cli.js'
import { waitForCurl } from './printed-curl.js'

t.test('a reader that stalls: the buffer is bounded, and a line says how many were dropped', async (t) => {
  const written: string[] = []
  let finishWrite: () => void = () => undefined
  const stream = new Writable({ write: (chunk, _encoding, done) => { written.push(String(chunk)); finishWrite = done } })
  const log = openLog(stream)
  const line = `${'x'.repeat(999)}\n`
  for (let count = 0; count < 10_000; count++) log.write(line)
  // 1 MiB, and the last line that began before it was full.
  t.ok(stream.writableLength <= 1_048_576 + line.length, `${stream.writableLength} bytes`)
  while (stream.writableLength > 0) {
    finishWrite()
    await new Promise((resolve) => setImmediate(resolve))
  }
  log.write('the next\n')
  finishWrite()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(written.filter((text) => text === line).length, 1049)
  const notice = JSON.parse(written.at(-2)!) as { level: number, time: number, msg: string }
  t.strictSame([notice.level, notice.msg], [40, `${10_000 - 1049} lines of the log were dropped: they were not read in time`])
  t.ok(Math.abs(notice.time - Date.now()) < 60_000)
  t.equal(written.at(-1), 'the next\n')
})

t.test('a log without a reader: serve answers, and ends on SIGTERM', { skip: process.platform === 'win32' && 'no signals' }, async (t) => {
  const server = spawn(process.execPath, [program, 'serve', '--demo', '--port', '0', '--log-level', 'info', '--database', join(t.testdir(), 'a.db')])
  t.teardown(() => server.kill('SIGKILL'))
  const { origin, send } = await waitForCurl(server.stdout)
  // A pipe holds 64 KB, and Node.js reads as much ahead.
  const url = `${origin}/${'x'.repeat(8000)}`
  for (let call = 0; call < 60; call++) t.equal((await fetch(url)).status, 404)
  t.equal((await send()).status, 200)
  server.kill('SIGTERM')
  t.strictSame(await once(server, 'exit'), [0, null])
})

t.test('serve has ended, and a timer is left: the process exits all the same', async (t) => {
  const events = new EventEmitter()
  const exit = () => events.emit('exit')
  const argv = ['serve', '--port', '0', '--log-level', 'silent', '--database', join(t.testdir(), 'a.db')]
  const { ended, sendSignal } = startCommand(argv, { exit, stdin: Readable.from([]) })
  const exited = once(events, 'exit')
  // The signal arrives before the server listens.
  sendSignal('SIGTERM')
  t.match(await ended, { code: 0 })
  const timer = setInterval(() => undefined, 1000)
  await exited
  clearInterval(timer)
})
