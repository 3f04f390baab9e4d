import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs, { chmodSync, existsSync, linkSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { allRows, fill } from '../helpers/test-server.js'
import { checkpointWorker, program } from '../helpers/built-program.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { until } from '../helpers/waiting.js'
import { openFile, withDatabase, withDb } from './sqlite-files.js'
import { cli, serve, startCommand, update } from './run-cli.js'

/** A database file with rows, and an empty folder for its copies. */
async function createDatabase (t: Test, { isLarge = false } = {}) {
  const folder = t.testdir({ copies: {} })
  const file = join(folder, 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'livechat-agent', '--database', file])
  const database = openFile(t, file)
  await fill(sqliteDb(database))
  // 4000 names of 4000 bytes, much more than the pages that are copied at once.
  if (isLarge) {
    database.exec(`
      WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 4000)
      INSERT INTO omnichannel_contact (id, name) SELECT 'large-' || n, hex(randomblob(2000)) FROM number`)
  }
  const copies = join(folder, 'copies')
  const copy = join(copies, 'copy.db')
  return { folder, file, database, copies, copy, backup: async (...argv: string[]) => await cli(['backup', '--database', file, ...argv]) }
}

const rowsIn = async (file: string) => await withDb(file, allRows)

/** The names of unfinished copies. */
const partsIn = (copies: string) => readdirSync(copies).filter((name) => name.endsWith('.part'))

/** Waits until a copy is begun. `until` would look too late. */
async function untilCopying (copies: string): Promise<void> {
  while (partsIn(copies).length === 0) await new Promise((resolve) => setImmediate(resolve))
}

t.test('backup: a complete copy that can be served, for its owner only, and no other file', async (t) => {
  const { file, database, copies, copy, backup } = await createDatabase(t)
  const before = await allRows(sqliteDb(database))
  chmodSync(file, 0o640)
  // A stricter umask would remove more permissions.
  process.umask(0o022)
  t.match(await backup(copy), { code: 0, out: new RegExp(`^Copied .*a\\.db to .*copy\\.db, \\d+\\.\\d MB\\n$`), err: '' })
  t.strictSame(readdirSync(copies), ['copy.db'])
  if (process.platform !== 'win32') t.equal(statSync(copy).mode & 0o777, 0o600, 'for its owner only')
  t.strictSame(await rowsIn(copy), before)

  const served = openFile(t, copy)
  t.equal(served.pragma('integrity_check', { simple: true }), 'ok')
  const { url } = await serve(t, ['--database', copy])
  t.equal((await update(url, { contactId: 'maria', name: 'Maria Silva' })).status, 200)
  t.strictSame(await allRows(sqliteDb(database)), before, 'the original does not change with it')
})

t.test('backup while serve runs: a consistent copy, although updates are written meanwhile', async (t) => {
  const { file, database, copy } = await createDatabase(t, { isLarge: true })
  const { url } = await serve(t, ['--database', file], { checkpointWorker })
  const selectVersion = "SELECT version FROM omnichannel_contact WHERE id = 'maria'"
  const version = () => database.prepare<[], number>(selectVersion).pluck().get()!
  let isOver = false
  const updates = (async () => {
    while (!isOver) t.equal((await update(url, { contactId: 'maria', wipeConflicts: true })).status, 200)
  })()
  await until(() => version() >= 3)
  const before = version()
  const { code, err } = await cli(['backup', copy, '--database', file])
  isOver = true
  await updates
  t.equal(code, 0)
  t.match(err, /^(backup: \d0 %\n)+$/)
  const copied = openFile(t, copy)
  t.equal(copied.pragma('integrity_check', { simple: true }), 'ok')
  const copiedVersion = copied.prepare<[], number>(selectVersion).pluck().get()!
  t.ok(copiedVersion >= before && copiedVersion <= version())
})

t.test('backup on a terminal: a progress line, which is cleared at the end', async (t) => {
  const { file, copy } = await createDatabase(t, { isLarge: true })
  const { code, err } = await cli(['backup', copy, '--database', file], { onTerminal: true })
  t.equal(code, 0)
  t.match(err, /^(\rbackup: \d+ %\x1b\[K)+\r\x1b\[K$/)
})

t.test('an existing file: replaced with --overwrite only', async (t) => {
  const { copies, copy, backup, database } = await createDatabase(t)
  writeFileSync(copy, 'something else')
  t.match(await backup(copy), { code: 1, out: '', err: `${copy} exists already: name another file, or replace it with --overwrite\n` })
  t.equal(readFileSync(copy, 'utf8'), 'something else')
  t.equal((await backup(copy, '--overwrite')).code, 0)
  t.strictSame(await rowsIn(copy), await allRows(sqliteDb(database)))
  t.strictSame(readdirSync(copies), ['copy.db'])
})

t.test('a copy that cannot be made: one sentence, and no file is left', async (t) => {
  const { folder, file, copies, copy, backup } = await createDatabase(t)
  linkSync(file, join(copies, 'same.db'))
  const used = openFile(t, join(copies, 'used.db'))
  used.pragma('journal_mode = WAL')
  used.exec('CREATE TABLE theirs (id INTEGER)')
  writeFileSync(join(copies, 'killed.db'), '')
  writeFileSync(join(copies, 'killed.db-journal'), 'of a killed program')
  if (process.platform !== 'win32') execFileSync('mkfifo', [join(copies, 'pipe')])
  writeFileSync(join(folder, 'text.db'), 'this is not a database '.repeat(100))
  const before = readdirSync(copies)
  const scenarios: Array<[situation: string, argv: string[], sentence: string]> = [
    ['the database itself', [file, '--overwrite'], `${file} is the database itself: name another file for the copy`],
    ['by another name', [join(copies, 'same.db'), '--overwrite'], `${copies}/same.db is the database itself: name another file for the copy`],
    ['a folder', [copies], `${copies} is a folder: name a file in it`],
    ['no such folder', [join(copies, 'none', 'a.db')], `The file ${copies}/none/a.db cannot be written: ENOENT: no such file or directory`],
    ['below a file', [join(file, 'a.db')], `The file ${file}/a.db cannot be written: ENOTDIR: not a directory`],
    ['a database in use', [join(copies, 'used.db'), '--overwrite'], `${copies}/used.db is a database in use: name another file for the copy`],
    ['a database with a journal', [join(copies, 'killed.db'), '--overwrite'], `${copies}/killed.db is a database in use: name another file for the copy`],
    ['a source that does not exist', [copy, '--database', 'none.db'], 'There is no database file none.db: name another, or make one with the command migrate'],
    ['a source that is a folder', [copy, '--database', folder], `The database file ${folder} is a folder`],
    ['a source that is not a database', [copy, '--database', join(folder, 'text.db')], `The database file ${folder}/text.db is not a SQLite database`]
  ]
  if (process.platform !== 'win32') {
    scenarios.push(['a pipe', [join(copies, 'pipe'), '--overwrite'], `${copies}/pipe is a device or a pipe: name a file for the copy`])
  }
  for (const [situation, argv, sentence] of scenarios) {
    // If two --database are given, the last one counts.
    t.strictSame(await backup(...argv), { code: 1, out: '', err: `${sentence}\n` }, situation)
    t.strictSame(readdirSync(copies), before, situation)
  }
})

t.test('a copy that cannot be renamed, or whose name cannot be flushed: no file is left', async (t) => {
  const { copies, copy, backup } = await createDatabase(t)
  t.teardown(syncBuiltinESMExports)
  const fail = (name: 'renameSync' | 'appendFileSync' | 'rmSync', message: string) => {
    const fault = t.intercept(fs, name, { value: () => { throw new Error(message) } })
    syncBuiltinESMExports()
    return fault
  }
  // appendFileSync opens the folder, and flushes the new name to the disk.
  const failed = { code: 1, out: '', err: `The file ${copy} cannot be written: EIO: i/o error\n` }
  for (const name of ['renameSync', 'appendFileSync'] as const) {
    const fault = fail(name, `EIO: i/o error, ${name}`)
    t.strictSame(await backup(copy), failed)
    t.strictSame(readdirSync(copies), [])
    fault.restore()
  }

  fail('renameSync', 'EIO: i/o error, rename')
  fail('rmSync', 'EROFS: read-only file system, rm')
  t.strictSame(await backup(copy), failed, 'the first error is reported')
})

t.test('Ctrl-C: stops the backup, and no file is left', async (t) => {
  const { file, copies, copy } = await createDatabase(t, { isLarge: true })
  const { sendSignal, ended } = startCommand(['backup', copy, '--database', file])
  await untilCopying(copies)
  sendSignal('SIGINT')
  t.strictSame(await ended, { code: 130, out: '', err: 'Interrupted: there is no copy\n' })
  t.strictSame(readdirSync(copies), [])
})

t.test('a database of an older version: copied without migration', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'old.db')
  const tables = (name: string) => withDatabase(join(folder, name), (copy) => copy.prepare('SELECT name, sql FROM sqlite_schema').all())
  withDatabase(file, (database) => database.exec(readFileSync('src/store/migrations/sqlite/000001.sql', 'utf8')))
  const before = tables('old.db')
  t.equal((await cli(['backup', join(folder, 'copy.db'), '--database', file])).code, 0)
  for (const each of ['old.db', 'copy.db']) t.strictSame(tables(each), before)
  t.notOk(existsSync(`${file}-wal`))
})

t.test('a file that appears during the backup: never overwritten', async (t) => {
  const { file, copies, copy } = await createDatabase(t, { isLarge: true })
  const sentences = {
    'copy.db': 'exists already: name another file, or replace it with --overwrite',
    'copy.db-wal': 'is a database in use: name another file for the copy'
  }
  for (const [name, sentence] of Object.entries(sentences)) {
    const { ended } = startCommand(['backup', copy, '--database', file])
    await untilCopying(copies)
    writeFileSync(join(copies, name), 'precious')
    t.match(await ended, { code: 1, out: '', err: new RegExp(`${copy} ${sentence}\n$`) })
    t.strictSame(readdirSync(copies), [name])
    t.equal(readFileSync(join(copies, name), 'utf8'), 'precious')
    rmSync(join(copies, name))
  }
})

t.test('a link to no file in place of the copy: not overwritten', { skip: process.platform === 'win32' && 'no links' }, async (t) => {
  const { copies, copy, backup } = await createDatabase(t)
  symlinkSync('nowhere', copy)
  t.match(await backup(copy), { code: 1, err: `The file ${copy} cannot be written: EEXIST: file already exists\n` })
  t.strictSame(readdirSync(copies), ['copy.db'])
  t.equal(readlinkSync(copy), 'nowhere')
})

t.test('a backup that is killed: the next one names the unfinished copy', async (t) => {
  const { file, copies, copy, backup } = await createDatabase(t, { isLarge: true })
  const child = spawn(process.execPath, [program, 'backup', copy, '--database', file])
  await until(() => partsIn(copies).length > 0)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const [part] = partsIn(copies)
  t.match(await backup(copy), { code: 0, err: new RegExp(`^There is an unfinished copy ${join(copies, part!)}: remove it unless another backup is running\n`) })
  rmSync(join(copies, part!))
  t.notMatch((await backup(copy, '--overwrite')).err, 'unfinished')
})
