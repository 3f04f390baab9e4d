// Databases that cannot be written, or served: one sentence at the start.

import { execFile } from 'node:child_process'
import { chmodSync, closeSync, openSync, readdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { program } from '../helpers/built-program.js'
import { withDatabase, openFile } from './sqlite-files.js'
import { cli, serve } from './run-cli.js'

// File permissions do not apply to root, unless root lacks the capability dac_override.
const isRoot = process.geteuid?.() === 0
const [node, ...nodeArguments] = isRoot ? ['setpriv', '--bounding-set=-dac_override', process.execPath] : [process.execPath]

/** Runs the command line as a process to which permissions apply. */
async function runRestricted (...argv: string[]) {
  return await new Promise<{ code: unknown, out: string, err: string }>((resolve) => {
    execFile(node, [...nodeArguments, program, ...argv], (error, out, err) => { resolve({ code: error?.code ?? 0, out, err }) })
  })
}

const canRestrict = process.platform !== 'win32' && (await runRestricted('--version')).code === 0
const skip = !canRestrict && 'permissions cannot be tested here'

/** A folder with a closed database in it. `run` runs a command on the database as a process to which permissions apply. */
async function createDatabase (t: Test) {
  const folder = t.testdir()
  const file = join(folder, 'a.db')
  const { stop } = await serve(t, ['--database', file])
  await stop()
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  return { folder, file, run: async (...argv: string[]) => await runRestricted(...argv, '--database', file) }
}

const readOnlyRefusal = (file: string) => ({ code: 1, out: '', err: `The database file ${file} cannot be written: it or its folder is read-only\n` })

t.test('a read-only file: served and changed by no command, no file is made beside it, and it can be read', { skip }, async (t) => {
  const { folder, file, run } = await createDatabase(t)
  chmodSync(file, 0o444)
  t.strictSame(await run('serve', '--port', '0'), readOnlyRefusal(file))
  t.strictSame(readdirSync(folder), ['a.db'])
  t.strictSame(await run('user', 'add', 'bob'), readOnlyRefusal(file))
  t.strictSame(await run('user', 'deactivate', 'ann'), readOnlyRefusal(file))
  t.match(await run('user', 'list'), { code: 0, out: /\nann /, err: '' })
})

t.test('a read-only file in another journal mode: not served', { skip }, async (t) => {
  const { file, run } = await createDatabase(t)
  withDatabase(file, (database) => database.pragma('journal_mode = DELETE'))
  chmodSync(file, 0o444)
  t.strictSame(await run('serve', '--port', '0'), readOnlyRefusal(file))
})

t.test('a read-only folder: one sentence, and no file is made in it', { skip }, async (t) => {
  const { folder, file, run } = await createDatabase(t)
  chmodSync(folder, 0o555)
  t.strictSame(await run('serve', '--port', '0'), readOnlyRefusal(file))
  const other = join(folder, 'new.db')
  t.strictSame(await runRestricted('serve', '--port', '0', '--database', other),
    { code: 1, out: '', err: `The database file ${other} cannot be opened for reading and writing\n` })
  t.strictSame(readdirSync(folder), ['a.db'])
  chmodSync(folder, 0o755)
})

t.test('a file of a later SQLite format that is read-only for this one: not served, and can be read', async (t) => {
  const { file } = await createDatabase(t)
  // Byte 18 of the header is the version that a writer must know, byte 19 that of a reader.
  const descriptor = openSync(file, 'r+')
  writeSync(descriptor, Uint8Array.of(3), 0, 1, 18)
  closeSync(descriptor)
  t.strictSame(await cli(['serve', '--port', '0', '--database', file]), readOnlyRefusal(file))
  t.strictSame(await cli(['user', 'deactivate', 'ann', '--database', file]), readOnlyRefusal(file))
  t.match(await cli(['user', 'list', '--database', file]), { code: 0, out: /\nann /, err: '' })
})

t.test('a database that another program writes to: served', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const database = openFile(t, file)
  database.exec('BEGIN IMMEDIATE')
  const { url, stop } = await serve(t, ['--database', file])
  t.equal((await fetch(`${url}/health`)).status, 200)
  t.equal((await cli(['user', 'list', '--database', file])).code, 0)
  database.exec('COMMIT')
  t.equal(await stop(), 0)
})

t.test('a database that another program locks: one sentence after five seconds', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const database = openFile(t, file)
  database.exec('BEGIN IMMEDIATE')
  t.strictSame(await cli(['user', 'remove', 'ann', '--database', file]),
    { code: 1, out: '', err: `The database file ${file} is locked by another program\n` })
})

t.test('an addon that cannot be loaded: the message names the addon, not the file', async (t) => {
  const folder = t.testdir({ 'wrong.node': 'no addon', empty: {} })
  const file = join(folder, 'empty', 'a.db')
  const scenarios: Array<[situation: string, loadAddon: () => unknown, sentence: RegExp]> = [
    ['a temporary folder that is mounted noexec', () => { throw new Error('/tmp/x.node: failed to map segment from shared object') },
      /^The SQLite addon cannot be loaded from the temporary folder .* \(.* failed to map .*\): name another in the variable TMPDIR\n$/],
    ['an addon of another system', () => join(folder, 'wrong.node'),
      /^The SQLite addon cannot be loaded \(.*wrong\.node: .*\): npm rebuild better-sqlite3 makes it anew\n$/],
    ['a package that is not installed', () => ({ get isInitialized () { throw new Error("Cannot find package 'x' imported from y") } }),
      /^The package x is missing: npm install fastify-omnichannel-contacts x\n$/],
    ['anything else', () => ({ get isInitialized () { throw new Error('it just fails') } }), /^it just fails\n$/]
  ]
  for (const [situation, loadAddon, sentence] of scenarios) {
    const { code, out, err } = await cli(['serve', '--port', '0', '--database', file], { loadAddon: () => loadAddon() as object })
    t.strictSame([code, out], [1, ''], situation)
    t.match(err, sentence, situation)
    t.strictSame(readdirSync(join(folder, 'empty')), [], situation)
  }
})
