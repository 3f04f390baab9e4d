// What an import does to contacts that the export lacks.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { withDatabase } from './sqlite-files.js'
import { cli } from './run-cli.js'

const line = (id: string) => `{"_id":"${id}","name":"${id}"}\n`

/** A database with the contacts a to e, of which e is disabled, and files of exports that have some of them. */
async function createDatabase (t: Test) {
  const folder = t.testdir({
    'first.jsonl': line('a') + line('b'),
    'second.jsonl': line('c'),
    'users.jsonl': '{"_id":"ann","username":"ann"}',
    'bad.jsonl': `${line('a')}bad\n`,
    empty: ''
  })
  const file = join(folder, 'a.db')
  const run = async (argv: string[], stdin = '') => await cli(['import', '--database', file, ...argv], { stdin })
  await run(['--contacts', '-'], ['a', 'b', 'c', 'd', 'e'].map(line).join(''))
  withDatabase(file, (database) => database.exec("UPDATE omnichannel_contact SET enabled = 0 WHERE id = 'e'"))
  /** The id, whether it is enabled, and the version of each contact. */
  const contacts = () => withDatabase(file, (database) => database.prepare('SELECT id, enabled, version FROM omnichannel_contact ORDER BY id').raw().all())
  /** The options that name these files. */
  const contactsIn = (...names: string[]) => names.flatMap((name) => ['--contacts', join(folder, name)])
  return { folder, file, run, contacts, contactsIn }
}

const before = [['a', 1, 1], ['b', 1, 1], ['c', 1, 1], ['d', 1, 1], ['e', 0, 1]]

t.test('no --disable-missing: contacts that no file has stay enabled', async (t) => {
  const { run, contacts, contactsIn } = await createDatabase(t)
  t.match(await run(contactsIn('first.jsonl')), { code: 0 })
  t.strictSame(contacts(), [['a', 1, 2], ['b', 1, 2], ...before.slice(2)])
})

t.test('--disable-missing: disables the contacts that no file has', async (t) => {
  for (const batch of [[], ['--batch', '1'], ['--on-error', 'skip']]) {
    const { folder, file, run, contacts, contactsIn } = await createDatabase(t)
    const began = new Date().toISOString()
    const { code, out, err } = await run([...contactsIn('first.jsonl', 'second.jsonl'), '--users', join(folder, 'users.jsonl'), '--disable-missing', ...batch])
    t.strictSame([code, err], [0, ''])
    t.match(out, /contacts: 0 new, 1 updated.*\ncontacts: 1 disabled that the export lacks\n$/)
    t.strictSame(contacts(), [['a', 1, 2], ['b', 1, 2], ['c', 1, 2], ['d', 0, 2], ['e', 0, 1]])
    t.ok(withDatabase(file, (database) => database.prepare("SELECT updated_at FROM omnichannel_contact WHERE id = 'd'").pluck().get() as string) >= began)
    t.match(await run([...contactsIn('first.jsonl', 'second.jsonl'), '--disable-missing']), { out: /\ncontacts: 0 disabled/ }, 'none a second time')
    await run(['--contacts', '-'], line('d'))
    t.strictSame(contacts()[3], ['d', 1, 3], 'a contact that comes back is enabled again')
  }
})

t.test('--disable-missing --dry-run: says how many, and disables none', async (t) => {
  const { run, contacts, contactsIn } = await createDatabase(t)
  t.match(await run([...contactsIn('first.jsonl'), '--disable-missing', '--dry-run']), { code: 0, out: /\ncontacts: 2 disabled that the export lacks; a dry run, nothing was written\n$/ })
  t.strictSame(contacts(), before)
})

t.test('an export with skipped contacts, or without contacts: none is disabled', async (t) => {
  const { run, contacts, contactsIn } = await createDatabase(t)
  t.match(await run([...contactsIn('bad.jsonl', 'second.jsonl'), '--disable-missing', '--on-error', 'skip']),
    { code: 0, err: /\nNo contact was disabled, because 1 lines of the contacts were skipped\n$/ })
  t.match(await run([...contactsIn('bad.jsonl'), '--disable-missing']), { code: 1 })
  t.match(await run([...contactsIn('empty'), '--disable-missing']), { code: 0, err: 'No contact was disabled, because the export has none at all\n' })
  t.strictSame(contacts().map((row) => (row as unknown[])[1]), [1, 1, 1, 1, 0])
})

t.test('--disable-missing without a file of contacts: exit code 2', async (t) => {
  const { folder, run, contacts } = await createDatabase(t)
  t.strictSame(await run(['--users', join(folder, 'users.jsonl'), '--disable-missing']),
    { code: 2, out: '', err: '--disable-missing needs the contacts: name their file with --contacts or --folder; see import --help\n' })
  t.strictSame(contacts(), before)
})
