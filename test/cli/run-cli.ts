// Runs the command line inside the test, with streams, environment and signals of its own.

import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import type { Test } from 'tap'
import { run } from '../../src/cli/command-line.js'
import type { Io } from '../../src/cli/shared.js'
import { as, fill, path } from '../helpers/test-server.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { until } from '../helpers/waiting.js'
import { openFile } from './sqlite-files.js'

export interface Setup {
  env?: Record<string, string>
  stdin?: string | Buffer | Readable
  /** Whether stdout and stderr are a terminal. */
  onTerminal?: boolean
  loadAddon?: Io['loadAddon']
  checkpointWorker?: Io['checkpointWorker']
  exit?: Io['exit']
}

/** A stream that keeps what is written to it. */
class RecordedStream extends Writable {
  text = ''
  constructor (readonly isTTY: boolean) { super() }

  override _write (chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk)
    this.emit('written')
    done()
  }
}

const require = createRequire(import.meta.url)
/** A compressed file of the documentation page, as the built program has it. */
export const readAsset = (name: string): Buffer =>
  gzipSync(readFileSync(name === 'index.html' ? 'src/cli/serve/static/index.html' : require.resolve(`@fastify/swagger-ui/static/${name}`)))

function createIo ({ stdin = '', onTerminal = false, loadAddon, checkpointWorker, exit = () => undefined }: Setup) {
  const stdout = new RecordedStream(onTerminal)
  const stderr = new RecordedStream(onTerminal)
  const streams = { stdin: stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]), stdout, stderr }
  const optional = { ...loadAddon && { loadAddon }, ...checkpointWorker && { checkpointWorker } }
  const io = Object.assign(new EventEmitter(), { ...streams, readAsset, exit, ...optional })
  return { io: io satisfies Io, stdout, stderr }
}

/** Runs a command with these variables. `run` reads them before its first await, so they are removed at once. */
function runWithVariables (argv: string[], io: Io, env: Setup['env']): Promise<number> {
  const before = { ...process.env }
  Object.assign(process.env, env)
  const code = run(argv, io)
  for (const name of Object.keys(env ?? {})) {
    if (before[name] === undefined) Reflect.deleteProperty(process.env, name)
    else process.env[name] = before[name]
  }
  return code
}

/** What a command that has ended leaves: its exit code and its output. */
interface Ended {
  code: number
  out: string
  err: string
}

/** Runs a command to its end. */
export async function cli (argv: string[], setup: Setup = {}): Promise<Ended> {
  return await startCommand(argv, setup).ended
}

/** Starts a command that can be sent a signal. */
export function startCommand (argv: string[], setup: Setup = {}) {
  const { io, stdout, stderr } = createIo(setup)
  const code = runWithVariables(argv, io, setup.env)
  return {
    sendSignal: (name: 'SIGINT' | 'SIGTERM') => io.emit(name, name),
    /** The names of the signals that the command listens for. */
    listenedSignals: () => io.eventNames(),
    ended: code.then((code): Ended => ({ code, out: stdout.text, err: stderr.text }))
  }
}

/** Starts `serve` on a new file, fills it, and opens it a second time. */
export async function serveFile (t: Test, argv: string[] = [], setup: Setup = {}) {
  const file = join(t.testdir(), 'a.db')
  const server = await serve(t, ['--database', file, ...argv], setup)
  const database = openFile(t, file)
  await fill(sqliteDb(database))
  return { ...server, file, database }
}

/** Starts `serve` on a free port and waits until it listens. */
export async function serve (t: Test, argv: string[], setup: Setup = {}) {
  const { io, stdout, stderr } = createIo(setup)
  // A demo has its own log level.
  const quiet = argv.includes('--demo') ? [] : ['--log-level', 'warn']
  const code = runWithVariables(['serve', '--port', '0', ...quiet, ...argv], io, setup.env)
  const stop = async (signal: 'SIGINT' | 'SIGTERM' = 'SIGTERM') => {
    io.emit(signal, signal)
    return await code
  }
  t.teardown(stop)
  while (!stdout.text.includes('Documentation')) await once(stdout, 'written', { signal: AbortSignal.timeout(10_000) })
  const url = /^Serving .* at (.*)$/m.exec(stdout.text)?.[1] ?? ''
  return { url, port: Number(new URL(url).port), stop, out: () => stdout.text, err: () => stderr.text, listenedSignals: () => io.eventNames() }
}

/** Sends an update to a server, as `ann` or with other headers. */
export async function update (url: string, body: object, headers = as('ann')): Promise<Response> {
  return await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
}

/** Resolves when a server with the log level info has received `count` requests. */
export async function untilReceived ({ err }: { err: () => string }, count: number): Promise<void> {
  await until(() => err().split('incoming request').length > count)
}
