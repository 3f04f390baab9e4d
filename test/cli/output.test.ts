// Output that cannot be written.

import { execFile } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import t from 'tap'
import { run } from '../../src/cli/command-line.js'
import { program } from '../helpers/built-program.js'
import { cli } from './run-cli.js'

/** Streams of a command. Writes to stdout fail with a code, and `err` returns what was written to stderr. */
function createIo (code: string) {
  let written = ''
  const failing = new Writable({
    write: (_chunk, _encoding, done) => { done(Object.assign(new Error(`${code}: no`), { code })) }
  })
  const stderr = new Writable({ write: (chunk, _encoding, done) => { written += String(chunk); done() } })
  const io = Object.assign(new EventEmitter(), { stdin: Readable.from([]), stdout: failing, stderr, readAsset: () => Buffer.of() })
  return { io, err: () => written }
}

t.test('a reader that closes stdout early: no failure', async (t) => {
  const { io, err } = createIo('EPIPE')
  t.equal(await run(['--version'], io), 0)
  t.equal(err(), '')
})

t.test('a stdout that cannot be written: one sentence, and exit code 1', async (t) => {
  const { io, err } = createIo('ENOSPC')
  t.equal(await run(['--version'], io), 1)
  t.equal(err(), 'The output cannot be written: ENOSPC: no\n')
})

t.test('a stderr that cannot be written: the exit code is unchanged', async (t) => {
  const { io } = createIo('EPIPE')
  const failing = io.stdout
  t.equal(await run(['srve'], Object.assign(io, { stderr: failing })), 2)
})

const noShell = process.platform === 'win32' && 'no sh'

t.test('user list | head -1: ends without an error', { skip: noShell }, async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--name', 'x'.repeat(1_000_000), '--database', file])
  const script = `for i in 1 2 3 4 5; do "$0" "$1" user list --database "$2" | head -1; done`
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script, process.execPath, program, file], { maxBuffer: 1e8 })
  t.match(stdout, /^(ID {3}USERNAME {2}NAME {999998}ACTIVE {2}ROLES\n){5}$/)
  t.equal(stderr, '')
})

t.test('token create that cannot be printed: no token is stored', { skip: noShell }, async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const countTokens = async () => (await cli(['token', 'list', '--database', file])).out.trimEnd().split('\n').length - 1
  for (const code of ['ENOSPC', 'EPIPE']) {
    const { io, err } = createIo(code)
    t.equal(await run(['token', 'create', 'ann', '--database', file], io), 1)
    t.equal(err(), `The output cannot be written: ${code}: no\n`)
    t.equal(await countTokens(), 0)
  }
  const createInto = async (output: string) =>
    await promisify(execFile)('sh', ['-c', `"$0" "$1" token create ann --database "$2" > ${output}`, process.execPath, program, file])
  if (existsSync('/dev/full')) {
    await t.rejects(createInto('/dev/full'), { code: 1, stderr: /^The output cannot be written: ENOSPC/ })
    t.equal(await countTokens(), 0)
  }
  t.match(await createInto('/dev/null'), { stderr: /^The token does not expire\n/ })
  t.equal(await countTokens(), 1)
})
