// Databases that cannot be served or written to: said at the start, in one sentence that is true.

import { execFile } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { program } from '../children.js'
import { cli, serve } from './io.js'
import { lookInto, openFile } from '../files.js'

const nobody = 65534
const isRoot = process.geteuid?.() === 0

/** Permissions do not bind root. What is loaded is loaded before, since nobody may be unable to read it. */
async function unprivileged<Result> (work: () => Promise<Result>): Promise<Result> {
  if (!isRoot) return await work()
  process.setegid!(nobody)
  process.seteuid!(nobody)
  try {
    return await work()
  } finally {
    process.seteuid!(0)
    process.setegid!(0)
  }
}

/** A folder that nobody may enter, with a database in it that is closed. */
async function start (t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'unwritable-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const file = join(folder, 'a.db')
  const { stop } = await serve(t, ['--database', file])
  await stop()
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const give = (path: string, mode: number) => {
    if (isRoot) chownSync(path, nobody, nobody)
    chmodSync(path, mode)
  }
  give(folder, 0o755)
  give(file, 0o644)
  return { folder, file, give, run: async (...argv: string[]) => await unprivileged(() => cli([...argv, '--database', file])) }
}

// Modules are looked for again whenever they are imported.
const isReadable = async (): Promise<boolean> => await unprivileged(async () => {
  try {
    readFileSync(import.meta.filename)
    return true
  } catch {
    return false
  }
})
const skip = process.platform === 'win32' ? 'no permissions' : !await isReadable() && 'where this stands, nobody can read it'

const readOnly = (file: string) => ({ code: 1, out: '', err: `The database file ${file} cannot be written: it or its folder is read-only\n` })

t.test('a read-only file: is not served, and can be read', { skip }, async (t) => {
  const { file, give, run } = await start(t)
  give(file, 0o444)
  t.strictSame(await run('serve', '--port', '0'), readOnly(file))
  t.strictSame(await run('user', 'add', 'bob'), readOnly(file))
  t.strictSame(await run('user', 'deactivate', 'ann'), readOnly(file))
  t.match(await run('user', 'list'), { code: 0, out: /\nann /, err: '' })
})

t.test('a read-only file in another journal mode: is not served', { skip }, async (t) => {
  const { file, give, run } = await start(t)
  lookInto(file, (database) => database.pragma('journal_mode = DELETE'))
  give(file, 0o444)
  t.strictSame(await run('serve', '--port', '0'), readOnly(file))
})

t.test('a read-only folder: is said, and no file is made in it', { skip }, async (t) => {
  const { folder, file, give, run } = await start(t)
  give(folder, 0o555)
  t.strictSame(await run('serve', '--port', '0'), readOnly(file))
  const other = join(folder, 'new.db')
  t.strictSame(await unprivileged(() => cli(['serve', '--port', '0', '--database', other])),
    { code: 1, out: '', err: `The database file ${other} cannot be opened for reading and writing\n` })
  t.strictSame(readdirSync(folder), ['a.db'])
  give(folder, 0o755)
})

t.test('a process of somebody who may only read: makes no file either', { skip }, async (t) => {
  const { folder, file, give } = await start(t)
  give(file, 0o444)
  const options = isRoot ? { uid: nobody, gid: nobody } : {}
  const asNobody = async (...argv: string[]) => await promisify(execFile)(process.execPath, argv, options)
  try {
    await asNobody('-e', `fs.accessSync(${JSON.stringify(program)})`)
  } catch {
    return t.pass('where this stands, nobody can start it')
  }
  const { err: stderr, code } = readOnly(file)
  await t.rejects(asNobody(program, 'serve', '--port', '0', '--database', file), { code, stdout: '', stderr })
  t.strictSame(readdirSync(folder), ['a.db'])
})

t.test('a database that somebody else writes to: is served, and waited for', async (t) => {
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

t.test('a database that somebody else keeps locked: is said after five seconds', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const database = openFile(t, file)
  database.exec('BEGIN IMMEDIATE')
  t.strictSame(await cli(['user', 'remove', 'ann', '--database', file]),
    { code: 1, out: '', err: `The database file ${file} is locked by another program\n` })
})

t.test('an addon that cannot be loaded: is blamed, and not the file', async (t) => {
  const folder = t.testdir({ 'wrong.node': 'no addon', empty: {} })
  const file = join(folder, 'empty', 'a.db')
  const scenarios: Array<[situation: string, sqlite: () => unknown, sentence: RegExp]> = [
    ['a temporary folder that is mounted noexec', () => { throw new Error('/tmp/x.node: failed to map segment from shared object') },
      /^The SQLite addon cannot be loaded from the temporary folder .* \(.* failed to map .*\): name another in the variable TMPDIR\n$/],
    ['an addon of another system', () => join(folder, 'wrong.node'),
      /^The SQLite addon cannot be loaded \(.*wrong\.node: .*\): npm rebuild better-sqlite3 makes it anew\n$/],
    ['a package that is not installed', () => ({ get isInitialized () { throw new Error("Cannot find package 'x' imported from y") } }),
      /^The package x is missing: npm install x\n$/],
    ['anything else', () => ({ get isInitialized () { throw new Error('it just fails') } }), /^it just fails\n$/]
  ]
  for (const [situation, sqlite, sentence] of scenarios) {
    const embedded = { get sqlite () { return sqlite() as object } }
    const { code, out, err } = await cli(['serve', '--port', '0', '--database', file], { embedded })
    t.strictSame([code, out], [1, ''], situation)
    t.match(err, sentence, situation)
    t.strictSame(readdirSync(join(folder, 'empty')), [], situation)
  }
})
