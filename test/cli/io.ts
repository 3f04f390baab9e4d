// Runs the command line inside the test, with streams, environment and signals of its own.

import { EventEmitter, once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import type { Test } from 'tap'
import type { Io } from '../../src/cli/command.js'
import { run } from '../../src/cli/run.js'

export interface Setup {
  env?: Record<string, string>
  stdin?: string
  onTerminal?: boolean
  embedded?: Io['embedded']
}

class Written extends Writable {
  text = ''
  constructor (readonly isTTY: boolean) { super() }

  override _write (chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk)
    this.emit('written')
    done()
  }
}

function createIo ({ env = {}, stdin = '', onTerminal = false, embedded }: Setup) {
  const stdout = new Written(onTerminal)
  const stderr = new Written(onTerminal)
  const streams = { stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr }
  const io = Object.assign(new EventEmitter(), { env, ...streams, ...embedded && { embedded } })
  return { io: io satisfies Io, stdout, stderr }
}

/** Runs a command to its end. */
export async function cli (argv: string[], setup: Setup = {}): Promise<{ code: number, out: string, err: string }> {
  const { io, stdout, stderr } = createIo(setup)
  const code = await run(argv, io)
  return { code, out: stdout.text, err: stderr.text }
}

/** Starts `serve` on a free port and waits until it listens. */
export async function serve (t: Test, argv: string[], setup: Setup = {}) {
  const { io, stdout, stderr } = createIo(setup)
  const code = run(['serve', '--port', '0', '--log-level', 'warn', ...argv], io)
  const stop = async (signal: 'SIGINT' | 'SIGTERM' = 'SIGTERM') => {
    io.emit(signal)
    return await code
  }
  t.teardown(stop)
  while (!stdout.text.includes('Documentation')) await once(stdout, 'written', { signal: AbortSignal.timeout(10_000) })
  const url = /^Serving .* at (.*)$/m.exec(stdout.text)?.[1] ?? ''
  return { url, stop, out: () => stdout.text, err: () => stderr.text, listeners: () => io.eventNames() }
}
