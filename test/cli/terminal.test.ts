// Control characters in stored texts and in arguments do not reach the terminal.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lookInto } from './files.js'
import { cli } from './io.js'

const controls = [...Array.from({ length: 32 }, (_, i) => i), ...Array.from({ length: 33 }, (_, i) => 0x7f + i)]
const overrides = [0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069]
const evil = `a${[...controls, ...overrides].map((code) => String.fromCharCode(code)).join('b')}c`
/** Arguments cannot have U+0000. */
const word = evil.replaceAll('\0', '')
const commands = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

t.test('contact, user and token: control characters are escaped in JSON, and U+FFFD in tables', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  lookInto(file, (database) => {
    database.prepare('INSERT INTO omnichannel_contact (id, name, custom_fields) VALUES (?, ?, ?)').run('c', evil, JSON.stringify({ [evil]: evil }))
    database.prepare('INSERT INTO omnichannel_contact_email VALUES (?, 0, ?)').run('c', evil)
    database.prepare('INSERT INTO omnichannel_room (id, contact_id, fname) VALUES (?, ?, ?)').run(evil, 'c', evil)
    database.prepare("UPDATE omnichannel_user SET name = ?, username = ? WHERE id = 'ann'").run(evil, evil)
    database.prepare("INSERT INTO omnichannel_auth_token (hashed_token, user_id, name) VALUES ('h', 'ann', ?)").run(evil)
  })
  const show = await cli(['contact', 'c', '--database', file])
  t.match(JSON.parse(show.out), { contact: { name: evil, customFields: { [evil]: evil } }, rooms: [{ _id: evil, fname: evil }] })
  const list = await cli(['contact', 'list', '--json', '--database', file])
  t.match(JSON.parse(list.out), [{ name: evil, emails: [{ address: evil }] }])
  t.match(show.out, 'b\\u007fb\\u0080b')
  const tables = [['contact', 'list'], ['user', 'list'], ['token', 'list']]
  for (const argv of tables) {
    const { out } = await cli([...argv, '--database', file])
    t.match(out, /a\uFFFDb\uFFFD/, argv.join(' '))
    t.equal(out.trimEnd().split('\n').length, 2, argv.join(' '))
    t.notMatch(out, commands, argv.join(' '))
  }
  t.notMatch(show.out + list.out, commands)
})

t.test('import: no control characters in messages about lines and files', async (t) => {
  const folder = join(t.testdir(), word.replaceAll('/', ''))
  mkdirSync(folder)
  const file = join(folder, 'a.db')
  const named = join(folder, 'contacts.jsonl')
  const lines = [
    { _id: 'a', createdAt: { $date: evil } },
    { _id: 'b', customFields: { n: { $uuid: evil } } },
    { _id: { $oid: evil } }
  ]
  writeFileSync(named, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const skipped = await cli(['import', '--contacts', named, '--on-error', 'skip', '--database', file])
  t.match(skipped, { code: 0, out: /3 skipped/, err: /line 3: / })
  t.notMatch(skipped.out + skipped.err, commands)
  const field = JSON.stringify({ _id: evil.replaceAll('\0', ''), regexp: `(?i)${evil}` })
  const warned = await cli(['import', '--custom-fields', '-', '--database', file], { stdin: field })
  t.match(warned, { code: 0, err: /^-, line 1: Warning: the pattern \(\?i\)a\uFFFD.* fits no value: Invalid regular expression/ })
  t.notMatch(warned.err, commands)
  t.equal(warned.err.trimEnd().split('\n').length, 1)
  const copy = join(folder, 'copy.db')
  for (const argv of [['backup', copy, '--database', file], ['user', 'add', 'eve', '--database', file], ['import', '--folder', folder]]) {
    const { out, err } = await cli(argv)
    t.notMatch(out + err, commands, argv.join(' '))
  }
})

t.test('arguments: no control characters in messages', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const scenarios = [
    [word],
    ['user', word],
    ['user', 'list', `--${word}`],
    ['user', 'list', '--database', word],
    ['user', 'add', word, '--database', file],
    ['user', 'add', 'ann', '--role', word, '--database', file],
    ['user', 'remove', word, '--database', file],
    ['token', 'create', word, '--database', file],
    ['token', 'create', 'ann', '--expires', word, '--database', file],
    ['token', 'revoke', 'ann', word, '--database', file],
    ['contact', word, '--database', file],
    ['contact', 'list', '--search', word, '--database', file],
    ['contact', 'list', '--limit', word, '--database', file],
    ['import', '--contacts', word, '--database', file],
    ['import', '--folder', word, '--database', file],
    ['import', '--on-error', word, '--database', file],
    ['backup', join(word, 'x'), '--database', file],
    ['copy', word, 'postgres://localhost/a'],
    ['copy', file, word]
  ]
  for (const argv of scenarios) {
    const { out, err } = await cli(argv)
    t.match(err, /[^\n]\n$/, JSON.stringify(argv))
    t.notMatch(out + err, commands, JSON.stringify(argv))
  }
})
