// What the commands do to a database file that they only read, that is new, or that another program made.

import { spawnSync } from 'node:child_process'
import fs, { chmodSync, copyFileSync, existsSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { allRows, fill } from '../helpers/test-server.js'
import { openFile, withDatabase, withDb } from './sqlite-files.js'
import { cli, serve } from './run-cli.js'

/** The input of imports: one contact. */
const stdin = '{"_id":"c1","name":"Contact"}\n'
/** The contents of all files of a folder, in base64. */
const contentsOf = (folder: string) =>
  Object.fromEntries(readdirSync(folder).sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')]))

/** A database in a folder of its own. */
async function createDatabase (t: Test) {
  const folder = t.testdir({ data: {} })
  const file = join(folder, 'data', 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  await withDb(file, fill)
  return { folder: join(folder, 'data'), file, copy: join(folder, 'copy.db') }
}

/** Commands that do not change the database. */
const readingCommands = (file: string, copy: string) => [
  ['contact', 'list', '--database', file],
  ['contact', 'maria', '--database', file],
  ['user', 'list', '--database', file],
  ['token', 'list', '--database', file],
  ['backup', copy, '--overwrite', '--database', file],
  ['import', '--dry-run', '--contacts', '-', '--on-error', 'skip', '--database', file]
]

const printCommand = (file: string) => ['migrate', '--print', '--database', file]

/** Runs SQL in a program that is then killed, so that its write-ahead log stays. */
function runAndKill (file: string, sql: string): void {
  spawnSync(process.execPath, ['-e', `
    const database = new (require('better-sqlite3'))(${JSON.stringify(file)})
    database.exec(${JSON.stringify(sql)})
    process.kill(process.pid, 'SIGKILL')`])
}

const useDeleteMode = (file: string) => { withDatabase(file, (database) => database.pragma('journal_mode = DELETE')) }
/** What happens to the file before the commands run. */
const preparations: Record<string, (file: string) => void> = {
  'was closed in WAL mode': () => undefined,
  'has another journal mode': useDeleteMode,
  'has a write-ahead log of a program that was killed': (file) => { runAndKill(file, "UPDATE omnichannel_contact SET name = 'Marie' WHERE id = 'maria'") }
}
for (const [situation, prepare] of Object.entries(preparations)) {
  t.test(`commands that only read, and a dry run, on a file that ${situation}: no byte changes, and no file is added`, async (t) => {
    const { folder, file, copy } = await createDatabase(t)
    prepare(file)
    const link = `${copy}-link`
    if (process.platform !== 'win32') symlinkSync(file, link)
    // Readers write to -shm, the index of the log. So it is only compared whether -shm exists.
    const contents = () => ({ ...contentsOf(folder), 'a.db-shm': existsSync(`${file}-shm`) })
    const before = contents()
    for (const name of [file, link].filter(existsSync)) {
      for (const argv of [...readingCommands(name, copy), printCommand(name)]) {
        t.match(await cli(argv, { stdin }), { code: 0 }, argv.join(' '))
        t.strictSame(contents(), before, argv.join(' '))
      }
    }
  })
}

t.test('a write-ahead log of a program that was killed: its updates are read', async (t) => {
  const { folder, file } = await createDatabase(t)
  runAndKill(file, "UPDATE omnichannel_contact SET name = 'Marie' WHERE id = 'maria'")
  t.match(readdirSync(folder).sort(), ['a.db', 'a.db-shm', 'a.db-wal'])
  t.match((await cli(['contact', 'maria', '--database', file])).out, '"Marie"')
})

t.test('a dry run of a large import: the same summary as the import', async (t) => {
  const { folder, file } = await createDatabase(t)
  const manyContacts = Array.from({ length: 30_000 }, (_, index) => `{"_id":"c${index}","name":"${'x'.repeat(3000)}"}\n`).join('')
  /** Imports the contacts, and returns the summary without the rate. */
  const importContacts = async (...argv: string[]) =>
    (await cli(['import', '--contacts', '-', '--database', file, ...argv], { stdin: manyContacts })).out.replace(/ \(.*/, '')
  const before = contentsOf(folder)
  const dryRun = await importContacts('--dry-run')
  t.strictSame(contentsOf(folder), before)
  t.equal(dryRun, await importContacts())
})

t.test('an older schema: commands that only read refuse it and change nothing, others migrate it', async (t) => {
  const { folder, file, copy } = await createDatabase(t)
  withDatabase(file, (database) => database.exec('DROP TABLE omnichannel_inquiry'))
  const before = contentsOf(folder)
  for (const argv of [...readingCommands(file, copy).filter(([name]) => name !== 'backup'), ['copy', file, 'postgres://localhost:1/a']]) {
    t.strictSame(await cli(argv, { stdin }),
      { code: 1, out: '', err: `The database lacks omnichannel_inquiry: the command migrate brings ${file} up to date\n` }, argv.join(' '))
    t.strictSame(contentsOf(folder), before, argv.join(' '))
  }
  t.equal((await cli(['user', 'activate', 'ann', '--database', file])).code, 0)
  t.equal((await cli(['user', 'list', '--database', file])).code, 0)
})

/** Commands that change an existing database. */
const changingCommands = (file: string) => [
  ['user', 'deactivate', 'ann', '--database', file],
  ['user', 'activate', 'ann', '--database', file],
  ['user', 'remove', 'ann', '--database', file],
  ['token', 'create', 'ann', '--database', file],
  ['token', 'revoke', 'ann', 'crm', '--database', file],
  ['copy', file, 'postgres://localhost:1/a']
]
/** Commands that create the database if the file does not exist. */
const creatingCommands = (file: string) => [
  ['user', 'add', 'ann', '--role', 'admin', '--database', file],
  ['import', '--contacts', '-', '--database', file],
  ['migrate', '--database', file],
  ['serve', '--port', '0', '--database', file]
]

t.test('a newer schema: refused by every command but backup, and not changed', async (t) => {
  const { folder, file, copy } = await createDatabase(t)
  withDatabase(file, (database) => database.exec('INSERT INTO omnichannel_migration (id) VALUES (1000)'))
  const before = contentsOf(folder)
  for (const argv of [...readingCommands(file, copy).filter(([name]) => name !== 'backup'), printCommand(file), ...changingCommands(file), ...creatingCommands(file)]) {
    t.match(await cli(argv, { stdin }), {
      code: 1, out: '', err: /^The database file .* cannot be used: The database has schema version 1000, and this version .*: upgrade the package\n$/
    }, argv.join(' '))
    t.strictSame(contentsOf(folder), before, argv.join(' '))
  }
})

t.test('a file of another program: refused by every command, and not changed', async (t) => {
  const folder = t.testdir({ data: {} })
  const [file, copy] = [join(folder, 'data', 'a.db'), join(folder, 'copy.db')]
  withDatabase(file, (database) => { database.exec('CREATE TABLE theirs (id INTEGER)') })
  const before = contentsOf(join(folder, 'data'))
  for (const argv of [...readingCommands(file, copy), ...changingCommands(file), ...creatingCommands(file)]) {
    const mayCreate = creatingCommands(file).some((other) => other.join() === argv.join())
    t.strictSame(await cli(argv, { stdin }), {
      code: 1, out: '', err: `The database file ${file} has tables, but none of this program${mayCreate ? ': --create adds them' : ''}\n`
    }, argv.join(' '))
    t.strictSame(contentsOf(join(folder, 'data')), before, argv.join(' '))
  }
  t.notOk(existsSync(copy))
})

t.test('a file that is not a SQLite database: refused by every command, and not changed', async (t) => {
  for (const content of ['hello', 'this is not a database '.repeat(100)]) {
    const folder = t.testdir({ data: { 'a.db': content } })
    const [file, copy] = [join(folder, 'data', 'a.db'), join(folder, 'copy.db')]
    const creations = creatingCommands(file).flatMap((argv) => [argv, [...argv, '--create']])
    for (const argv of [...readingCommands(file, copy), printCommand(file), ...changingCommands(file), ...creations]) {
      t.strictSame(await cli(argv, { stdin }), { code: 1, out: '', err: `The database file ${file} is not a SQLite database\n` }, argv.join(' '))
      t.strictSame(readdirSync(join(folder, 'data')), ['a.db'], argv.join(' '))
      t.equal(readFileSync(file, 'utf8'), content)
    }
  }
})

t.test('an empty file: filled by the commands that create a database, refused by the others', async (t) => {
  const folder = t.testdir({ data: { 'a.db': '' } })
  const [file, copy] = [join(folder, 'data', 'a.db'), join(folder, 'copy.db')]
  for (const argv of [...readingCommands(file, copy), ...changingCommands(file)]) {
    const expected = argv.includes('--dry-run') ? { code: 0, out: /^contacts: 1 new/ } : { code: 1, out: '', err: `The database file ${file} is empty\n` }
    t.match(await cli(argv, { stdin }), expected, argv.join(' '))
  }
  t.equal(statSync(file).size, 0)
  for (const argv of creatingCommands(file).filter(([name]) => name !== 'serve')) {
    writeFileSync(file, '')
    t.match(await cli(argv, { stdin }), { code: 0 }, argv.join(' '))
  }
})

/** The commands that create a database, each with a file of its own in the folder. */
function creatingCommandsIn (folder: string): Array<{ file: string, argv: string[] }> {
  return creatingCommands('').map(([name = ''], index) => {
    const file = join(folder, `${name}.db`)
    return { file, argv: creatingCommands(file)[index]! }
  })
}

/** Runs a command that ends, or starts `serve` and stops it. */
async function runOrServe (t: Test, argv: string[]): Promise<void> {
  if (argv[0] === 'serve') await (await serve(t, argv.slice(1))).stop()
  else t.match(await cli(argv, { stdin }), { code: 0 }, argv.join(' '))
}

const tablesIn = (file: string) => withDatabase(file, (database) => database.prepare('SELECT name FROM sqlite_schema').pluck().all())

t.test('--create: adds the tables to a file of another program', async (t) => {
  for (const { file, argv } of creatingCommandsIn(t.testdir())) {
    withDatabase(file, (database) => { database.exec('CREATE TABLE theirs (id INTEGER)') })
    await runOrServe(t, [...argv, '--create'])
    t.ok('omnichannel_contact' in await withDb(file, allRows), argv.join(' '))
    t.match(tablesIn(file), ['theirs'])
  }
})

t.test('import --create --dry-run: adds no table', async (t) => {
  const file = join(t.testdir(), 'a.db')
  withDatabase(file, (database) => { database.exec('CREATE TABLE theirs (id INTEGER)') })
  t.match(await cli(['import', '--contacts', '-', '--database', file, '--create', '--dry-run'], { stdin }), { code: 0, out: /1 new/ })
  t.strictSame(tablesIn(file), ['theirs'])
})

const noPermissions = process.platform === 'win32' && 'no permissions'
/** Files are then created with all permissions that the program asks for. */
function clearUmask (t: Test): void {
  const before = process.umask(0)
  t.teardown(() => { process.umask(before) })
}
const permissionsOf = (file: string) => statSync(file).mode & 0o777

t.test('a new database: only its owner can read it', { skip: noPermissions }, async (t) => {
  clearUmask(t)
  for (const { file, argv } of creatingCommandsIn(t.testdir())) {
    await runOrServe(t, argv)
    t.equal(permissionsOf(file), 0o600, argv.join(' '))
  }
})

t.test('the write-ahead log of a new database, and a copy: only their owner can read them', { skip: noPermissions }, async (t) => {
  clearUmask(t)
  const folder = t.testdir()
  const [file, copy] = [join(folder, 'a.db'), join(folder, 'copy.db')]
  await serve(t, ['--database', file])
  for (const ending of ['', '-wal', '-shm']) t.equal(permissionsOf(file + ending), 0o600, ending)
  await cli(['backup', copy, '--database', file])
  t.equal(permissionsOf(copy), 0o600)
})

t.test('a new database behind a link: only its owner can read it', { skip: process.platform === 'win32' && 'no links' }, async (t) => {
  const folder = t.testdir({ link: t.fixture('symlink', 'a.db') })
  clearUmask(t)
  t.match(await cli(['user', 'add', 'ann', '--role', 'admin', '--database', join(folder, 'link')]), { code: 0 })
  t.equal(permissionsOf(join(folder, 'a.db')), 0o600)
})

t.test('a database file that a group may write: its write-ahead log has the same permissions', { skip: noPermissions }, async (t) => {
  const { file } = await createDatabase(t)
  chmodSync(file, 0o660)
  await serve(t, ['--database', file])
  for (const ending of ['', '-wal', '-shm']) t.equal(permissionsOf(file + ending), 0o660, ending)
})

t.test('a database in memory: no file of that name is made', async (t) => {
  t.match(await cli(['user', 'add', 'ann', '--role', 'admin', '--database', ':memory:']), { code: 0, out: 'Added user ann\n' })
  t.notOk(existsSync(':memory:'))
})

t.test('a file whose name looks like a URI: is opened by that name', async (t) => {
  const [folder, before] = [t.testdir(), process.cwd()]
  t.teardown(() => { process.chdir(before) })
  process.chdir(folder)
  for (const name of ['file:a.db', 'file:b.db?mode=memory']) {
    t.match(await cli(['user', 'add', 'ann', '--role', 'admin', '--database', name]), { code: 0, out: 'Added user ann\n' })
    t.match(await cli(['user', 'list', '--database', name]), { code: 0, out: /^ann /m })
  }
  t.strictSame(readdirSync(folder).sort(), ['file:a.db', 'file:b.db?mode=memory'])
})

t.test('a new database that cannot be migrated: its files are removed', async (t) => {
  t.teardown(syncBuiltinESMExports)
  const folder = join(t.testdir({ data: {} }), 'data')
  const file = join(folder, 'a.db')
  const loadAddon = (): object => {
    // If the disk fails while SQLite writes, this journal is left.
    writeFileSync(`${file}-journal`, '')
    throw new Error('no addon')
  }
  for (const argv of creatingCommands(file)) {
    t.match(await cli(argv, { stdin, loadAddon }), { code: 1, err: /no addon/ })
    t.strictSame(readdirSync(folder), [], argv.join(' '))
  }

  t.intercept(fs, 'rmSync', { value: () => { throw new Error('EROFS: read-only file system') } })
  syncBuiltinESMExports()
  t.match(await cli(['user', 'add', 'ann', '--database', file], { loadAddon }), { code: 1, err: /no addon/ }, 'the first error is reported')
})

t.test('a database in which another program writes, and a copy of its file: can be read', async (t) => {
  const { file, copy } = await createDatabase(t)
  const database = openFile(t, file)
  database.exec('BEGIN IMMEDIATE')
  for (const argv of readingCommands(file, copy).filter(([name]) => name !== 'import')) t.match(await cli(argv), { code: 0 }, argv.join(' '))
  copyFileSync(file, `${file}.copy`)
  t.match(await cli(['user', 'list', '--database', `${file}.copy`]), { code: 0 })
})

t.test("a name of SQLite's own files: refused as a database and as a copy, which SQLite would delete", async (t) => {
  const { folder, file, copy } = await createDatabase(t)
  const before = contentsOf(folder)
  for (const ending of ['-wal', '-shm', '-journal']) {
    const name = `${file}${ending}`
    for (const argv of [['backup', name, '--database', file], ['backup', name, '--overwrite', '--database', file], ...readingCommands(name, copy), ['user', 'add', 'bob', '--database', name]]) {
      const err = `${name} is a name that SQLite uses for its own files: name another file\n`
      t.strictSame(await cli(argv, { stdin }), { code: 2, out: '', err }, argv.join(' '))
    }
  }
  t.strictSame(contentsOf(folder), before)
})
