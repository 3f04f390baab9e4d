// Control characters in stored texts and in arguments do not reach the terminal.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { withDatabase } from './sqlite-files.js'
import { cli } from './run-cli.js'

/** U+0000 to U+001F, and U+007F to U+009F. */
const controlCodes = [...Array.from({ length: 32 }, (_, index) => index), ...Array.from({ length: 33 }, (_, index) => 0x7f + index)]
/** Characters that change the direction of a text. */
const bidiControls = [0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069]
const hostile = `a${[...controlCodes, ...bidiControls].map((code) => String.fromCharCode(code)).join('b')}c`
// Arguments cannot have U+0000.
const hostileArgument = hostile.replaceAll('\0', '')
/** Tab and line feed are allowed: they are part of the output. */
const controlCharacters = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

/** A database whose texts have control characters. */
async function createHostileDatabase (t: Test): Promise<string> {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  withDatabase(file, (database) => {
    database.prepare('INSERT INTO omnichannel_contact (id, name, custom_fields) VALUES (?, ?, ?)').run('c', hostile, JSON.stringify({ [hostile]: hostile }))
    database.prepare('INSERT INTO omnichannel_contact_email VALUES (?, 0, ?)').run('c', hostile)
    database.prepare('INSERT INTO omnichannel_room (id, contact_id, fname) VALUES (?, ?, ?)').run(hostile, 'c', hostile)
    database.prepare("UPDATE omnichannel_user SET name = ?, username = ? WHERE id = 'ann'").run(hostile, hostile)
    database.prepare("INSERT INTO omnichannel_auth_token (hashed_token, user_id, name) VALUES ('h', 'ann', ?)").run(hostile)
  })
  return file
}

t.test('JSON of contacts: control characters are escaped', async (t) => {
  const file = await createHostileDatabase(t)
  const show = await cli(['contact', 'c', '--database', file])
  t.match(JSON.parse(show.out), { contact: { name: hostile, customFields: { [hostile]: hostile } }, rooms: [{ _id: hostile, fname: hostile }] })
  t.match(show.out, 'b\\u007fb\\u0080b')
  const list = await cli(['contact', 'list', '--json', '--database', file])
  t.match(JSON.parse(list.out), [{ name: hostile, emails: [{ address: hostile }] }])
  t.notMatch(show.out + list.out, controlCharacters)
})

t.test('tables of contacts, users and tokens: control characters are replaced by U+FFFD', async (t) => {
  const file = await createHostileDatabase(t)
  for (const argv of [['contact', 'list'], ['user', 'list'], ['token', 'list']]) {
    const { out } = await cli([...argv, '--database', file])
    t.match(out, /a\uFFFDb\uFFFD/, argv.join(' '))
    t.equal(out.trimEnd().split('\n').length, 2, argv.join(' '))
    t.notMatch(out, controlCharacters, argv.join(' '))
  }
})

t.test('import: no control characters in messages about lines and files', async (t) => {
  const folder = join(t.testdir(), hostileArgument.replaceAll('/', ''))
  mkdirSync(folder)
  const file = join(folder, 'a.db')
  const contactsFile = join(folder, 'contacts.jsonl')
  const lines = [
    { _id: 'a', createdAt: { $date: hostile } },
    { _id: 'b', customFields: { n: { $uuid: hostile } } },
    { _id: { $oid: hostile } }
  ]
  writeFileSync(contactsFile, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const skipped = await cli(['import', '--contacts', contactsFile, '--on-error', 'skip', '--database', file])
  t.match(skipped, { code: 0, out: /3 skipped/, err: /line 3: / })
  t.notMatch(skipped.out + skipped.err, controlCharacters)
  const field = JSON.stringify({ _id: hostile.replaceAll('\0', ''), regexp: `(?i)${hostile}` })
  const warned = await cli(['import', '--custom-fields', '-', '--database', file], { stdin: field })
  t.match(warned, { code: 0, err: /^-, line 1: Warning: the pattern \(\?i\)a\uFFFD.* fits no value: Invalid regular expression/ })
  t.notMatch(warned.err, controlCharacters)
  t.equal(warned.err.trimEnd().split('\n').length, 1)
  const copy = join(folder, 'copy.db')
  for (const argv of [['backup', copy, '--database', file], ['user', 'add', 'eve', '--database', file], ['import', '--folder', folder]]) {
    const { out, err } = await cli(argv)
    t.notMatch(out + err, controlCharacters, argv.join(' '))
  }
})

t.test('arguments: no control characters in messages', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const scenarios = [
    [hostileArgument],
    ['user', hostileArgument],
    ['user', 'list', `--${hostileArgument}`],
    ['user', 'list', '--database', hostileArgument],
    ['user', 'add', hostileArgument, '--database', file],
    ['user', 'add', 'ann', '--role', hostileArgument, '--database', file],
    ['user', 'remove', hostileArgument, '--database', file],
    ['token', 'create', hostileArgument, '--database', file],
    ['token', 'create', 'ann', '--expires', hostileArgument, '--database', file],
    ['token', 'revoke', 'ann', hostileArgument, '--database', file],
    ['contact', hostileArgument, '--database', file],
    ['contact', 'list', '--search', hostileArgument, '--database', file],
    ['contact', 'list', '--limit', hostileArgument, '--database', file],
    ['import', '--contacts', hostileArgument, '--database', file],
    ['import', '--folder', hostileArgument, '--database', file],
    ['import', '--on-error', hostileArgument, '--database', file],
    ['backup', join(hostileArgument, 'x'), '--database', file],
    ['copy', hostileArgument, 'postgres://localhost/a'],
    ['copy', file, hostileArgument]
  ]
  for (const argv of scenarios) {
    const { out, err } = await cli(argv)
    t.match(err, /[^\n]\n$/, JSON.stringify(argv))
    t.notMatch(out + err, controlCharacters, JSON.stringify(argv))
  }
})
