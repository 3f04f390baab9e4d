// What the commands do to a database file that they only read, that is new, or that another program made.

import { spawnSync } from 'node:child_process'
import fs, { chmodSync, copyFileSync, existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { allRows, fill } from '../helpers/build.js'
import { inFile, lookInto, openFile } from './files.js'
import { cli, serve } from './io.js'

const contact = '{"_id":"c1","name":"Contact"}\n'
/** All files of a folder, byte by byte. */
const bytes = (folder: string) => Object.fromEntries(readdirSync(folder).sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')]))

async function createDatabase (t: Test) {
  const folder = t.testdir({ data: {} })
  const file = join(folder, 'data', 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  await inFile(file, fill)
  return { folder: join(folder, 'data'), file, copy: join(folder, 'copy.db') }
}

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

t.test('commands that read, and a dry run: no byte changes, and no file is added', async (t) => {
  const journals: Array<[situation: string, prepare: (file: string) => void]> = [
    ['closed in WAL mode', () => undefined],
    ['in another mode', (file) => { lookInto(file, (database) => database.pragma('journal_mode = DELETE')) }],
    ['killed, with a write-ahead log', (file) => { runAndKill(file, "UPDATE omnichannel_contact SET name = 'Marie' WHERE id = 'maria'") }]
  ]
  for (const [situation, prepare] of journals) {
    const { folder, file, copy } = await createDatabase(t)
    prepare(file)
    // Readers write to -shm, the index of the log. So it is only compared whether -shm exists.
    const look = () => ({ ...bytes(folder), 'a.db-shm': existsSync(`${file}-shm`) })
    const before = look()
    for (const argv of [...readingCommands(file, copy), printCommand(file)]) {
      t.match(await cli(argv, { stdin: contact }), { code: 0 }, argv.join(' '))
      t.strictSame(look(), before, `${situation}: ${argv.join(' ')}`)
    }
    if (situation.startsWith('killed')) t.match(Object.keys(before), ['a.db', 'a.db-shm', 'a.db-wal'])
    if (situation.startsWith('killed')) t.match((await cli(['contact', 'maria', '--database', file])).out, '"Marie"')
  }
})

t.test('a dry run of a large import: the same summary as the import', async (t) => {
  const { folder, file } = await createDatabase(t)
  const stdin = Array.from({ length: 30_000 }, (_, i) => `{"_id":"c${i}","name":"${'x'.repeat(3000)}"}\n`).join('')
  const run = async (...argv: string[]) => (await cli(['import', '--contacts', '-', '--database', file, ...argv], { stdin })).out.replace(/ \(.*/, '')
  const before = bytes(folder)
  const dryRun = await run('--dry-run')
  t.strictSame(bytes(folder), before)
  t.equal(dryRun, await run())
})

t.test('an older schema: commands that only read refuse it and change nothing, others migrate it', async (t) => {
  const { folder, file, copy } = await createDatabase(t)
  lookInto(file, (database) => database.exec('DROP TABLE omnichannel_inquiry'))
  const before = bytes(folder)
  for (const argv of [...readingCommands(file, copy).filter(([name]) => name !== 'backup'), ['copy', file, 'postgres://localhost:1/a']]) {
    t.strictSame(await cli(argv, { stdin: contact }),
      { code: 1, out: '', err: `The database lacks omnichannel_inquiry: the command migrate brings ${file} up to date\n` }, argv.join(' '))
    t.strictSame(bytes(folder), before, argv.join(' '))
  }
  t.equal((await cli(['user', 'activate', 'ann', '--database', file])).code, 0)
  t.equal((await cli(['user', 'list', '--database', file])).code, 0)
})

const changingCommands = (file: string) => [
  ['user', 'deactivate', 'ann', '--database', file],
  ['user', 'activate', 'ann', '--database', file],
  ['user', 'remove', 'ann', '--database', file],
  ['token', 'create', 'ann', '--database', file],
  ['token', 'revoke', 'ann', 'crm', '--database', file],
  ['copy', file, 'postgres://localhost:1/a']
]
const creatingCommands = (file: string) => [
  ['user', 'add', 'ann', '--role', 'admin', '--database', file],
  ['import', '--contacts', '-', '--database', file],
  ['migrate', '--database', file],
  ['serve', '--port', '0', '--database', file]
]

t.test('a newer schema: refused by every command but backup, and not changed', async (t) => {
  const { folder, file, copy } = await createDatabase(t)
  lookInto(file, (database) => database.exec('INSERT INTO omnichannel_migration (id) VALUES (1000)'))
  const before = bytes(folder)
  for (const argv of [...readingCommands(file, copy).filter(([name]) => name !== 'backup'), printCommand(file), ...changingCommands(file), ...creatingCommands(file)]) {
    t.match(await cli(argv, { stdin: contact }), {
      code: 1, out: '', err: /^The database file .* cannot be used: The database has schema version 1000, and this version .*: upgrade the package\n$/
    }, argv.join(' '))
    t.strictSame(bytes(folder), before, argv.join(' '))
  }
})

t.test('a file of another program: refused by every command, and not changed', async (t) => {
  const folder = t.testdir({ data: {} })
  const [file, copy] = [join(folder, 'data', 'a.db'), join(folder, 'copy.db')]
  lookInto(file, (database) => { database.exec('CREATE TABLE theirs (id INTEGER)') })
  const before = bytes(join(folder, 'data'))
  for (const argv of [...readingCommands(file, copy), ...changingCommands(file), ...creatingCommands(file)]) {
    const mayCreate = creatingCommands(file).some((other) => other.join() === argv.join())
    t.strictSame(await cli(argv, { stdin: contact }), {
      code: 1, out: '', err: `The database file ${file} has tables, but none of this program${mayCreate ? ': --create adds them' : ''}\n`
    }, argv.join(' '))
    t.strictSame(bytes(join(folder, 'data')), before, argv.join(' '))
  }
  t.notOk(existsSync(copy))
})

t.test('a file that is not a SQLite database: refused by every command, and not changed', async (t) => {
  for (const content of ['hello', 'this is not a database '.repeat(100)]) {
    const folder = t.testdir({ data: { 'a.db': content } })
    const [file, copy] = [join(folder, 'data', 'a.db'), join(folder, 'copy.db')]
    const creations = creatingCommands(file).flatMap((argv) => [argv, [...argv, '--create']])
    for (const argv of [...readingCommands(file, copy), printCommand(file), ...changingCommands(file), ...creations]) {
      t.strictSame(await cli(argv, { stdin: contact }), { code: 1, out: '', err: `The database file ${file} is not a SQLite database\n` }, argv.join(' '))
      t.strictSame(readdirSync(join(folder, 'data')), ['a.db'], argv.join(' '))
      t.equal(readFileSync(file, 'utf8'), content)
    }
  }
})

t.test('an empty file: filled by the commands that create a database, refused by the others', async (t) => {
  const folder = t.testdir({ data: { 'a.db': '' } })
  const [file, copy] = [join(folder, 'data', 'a.db'), join(folder, 'copy.db')]
  const isDryRun = (argv: string[]) => argv.includes('--dry-run')
  for (const argv of [...readingCommands(file, copy), ...changingCommands(file)].filter((argv) => !isDryRun(argv))) {
    t.strictSame(await cli(argv), { code: 1, out: '', err: `The database file ${file} is empty\n` }, argv.join(' '))
  }
  for (const argv of readingCommands(file, copy).filter(isDryRun)) t.match(await cli(argv, { stdin: contact }), { code: 0, out: /^contacts: 1 new/ })
  t.equal(statSync(file).size, 0)
  for (const argv of creatingCommands(file).filter(([name]) => name !== 'serve')) {
    writeFileSync(file, '')
    t.match(await cli(argv, { stdin: contact }), { code: 0 }, argv.join(' '))
  }
})

t.test('--create: adds the tables to a file of another program', async (t) => {
  const folder = t.testdir()
  for (const [i, [name = '', ...argv]] of creatingCommands('').entries()) {
    const file = join(folder, `${i}.db`)
    lookInto(file, (database) => { database.exec('CREATE TABLE theirs (id INTEGER)') })
    argv.splice(-1, 1, file, '--create')
    if (name === 'import') {
      t.match(await cli([name, ...argv, '--dry-run'], { stdin: contact }), { code: 0, out: /1 new/ })
      t.strictSame(lookInto(file, (database) => database.prepare('SELECT name FROM sqlite_schema').pluck().all()), ['theirs'])
    }
    if (name === 'serve') await (await serve(t, argv)).stop()
    else t.match(await cli([name, ...argv], { stdin: contact }), { code: 0 })
    t.ok('omnichannel_contact' in await inFile(file, allRows), name)
    t.match(lookInto(file, (database) => database.prepare('SELECT name FROM sqlite_schema').pluck().all()), ['theirs'])
  }
})

t.test('a new database, its write-ahead log and a copy: only their owner can read them', { skip: process.platform === 'win32' && 'no permissions' }, async (t) => {
  const before = process.umask(0)
  t.teardown(() => { process.umask(before) })
  const folder = t.testdir()
  const mode = (name: string) => statSync(join(folder, name)).mode & 0o777
  for (const [i, [name = '', ...argv]] of creatingCommands('').entries()) {
    const file = join(folder, `${i}.db`)
    argv.splice(-1, 1, file)
    if (name === 'serve') {
      const { stop } = await serve(t, argv)
      for (const ending of ['', '-wal', '-shm']) t.equal(mode(`${i}.db${ending}`), 0o600, ending)
      await cli(['backup', join(folder, 'copy.db'), '--database', file])
      t.equal(mode('copy.db'), 0o600)
      await stop()
    } else t.match(await cli([name, ...argv], { stdin: contact }), { code: 0 })
    t.equal(mode(`${i}.db`), 0o600, name)
  }
})

t.test('a new database behind a link: only its owner can read it', { skip: process.platform === 'win32' && 'no links' }, async (t) => {
  const folder = t.testdir({ link: t.fixture('symlink', 'a.db') })
  const before = process.umask(0)
  t.teardown(() => { process.umask(before) })
  t.match(await cli(['user', 'add', 'ann', '--role', 'admin', '--database', join(folder, 'link')]), { code: 0 })
  t.equal(statSync(join(folder, 'a.db')).mode & 0o777, 0o600)
})

t.test('a database file that a group may write: its write-ahead log has the same mode', { skip: process.platform === 'win32' && 'no permissions' }, async (t) => {
  const { file } = await createDatabase(t)
  chmodSync(file, 0o660)
  await serve(t, ['--database', file])
  for (const ending of ['', '-wal', '-shm']) t.equal(statSync(file + ending).mode & 0o777, 0o660, ending)
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
    t.match(await cli(argv, { stdin: contact, loadAddon }), { code: 1, err: /no addon/ })
    t.strictSame(readdirSync(folder), [], argv.join(' '))
  }

  t.intercept(fs, 'rmSync', { value: () => { throw new Error('EROFS: read-only file system') } })
  syncBuiltinESMExports()
  t.match(await cli(['user', 'add', 'ann', '--database', file], { loadAddon }), { code: 1, err: /no addon/ }, 'the first error is reported')
})

t.test('a database with an open write transaction, and a copy of its file: can be read', async (t) => {
  const { file, copy } = await createDatabase(t)
  const database = openFile(t, file)
  database.exec('BEGIN IMMEDIATE')
  for (const argv of readingCommands(file, copy).filter(([name]) => name !== 'import')) t.match(await cli(argv), { code: 0 }, argv.join(' '))
  copyFileSync(file, `${file}.copy`)
  t.match(await cli(['user', 'list', '--database', `${file}.copy`]), { code: 0 })
})
