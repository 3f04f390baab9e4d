// Lines that cannot be imported, and what --on-error, --batch and --dry-run do.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { maxLineBytes } from '../../src/cli/import/read-lines.js'
import { openDatabase, withDatabase } from './sqlite-files.js'
import { cli, type Setup } from './run-cli.js'

/** A line that can be imported. */
const contactLine = (id: string | number) => `{"_id":"${id}","name":"Contact ${id}"}\n`

/** Writes a file of contacts. `run` imports it into a new database. */
function createExport (t: Test, content: string | Buffer) {
  const folder = t.testdir({ 'contacts.jsonl': content })
  const file = join(folder, 'a.db')
  return {
    file,
    folder,
    run: async (argv: string[] = [], setup?: Setup) =>
      await cli(['import', '--database', file, '--contacts', join(folder, 'contacts.jsonl'), ...argv], setup),
    ids: () => withDatabase(file, (database) => database.prepare('SELECT id FROM omnichannel_contact ORDER BY id').pluck().all())
  }
}

const deeplyNested = '['.repeat(200) + ']'.repeat(200)
const badLines: Array<[line: string | Buffer, reason: string]> = [
  ['{"_id":', 'this is not JSON'],
  ['{"_id":"a","name":"\0"}', 'this is not JSON'],
  ['[{"_id":"a","name":"A"}]', 'this is a JSON array and not JSON lines: export without --jsonArray'],
  ['{', 'this is a document over several lines: export without --pretty'],
  [Buffer.from('{"_id":"a","name":"Jos\u00E9"}', 'latin1'), 'this is not UTF-8'],
  ['5', 'the line is not an object'],
  ['null', '_id is missing'],
  ['{"name":"A"}', '_id is missing'],
  ['{"_id":null}', '_id is missing'],
  ['{"_id":""}', '_id is empty'],
  ['{"_id":"\\ud800"}', '_id holds half of a character'],
  ['{"_id":{"a":1}}', '_id is not text'],
  ['{"_id":{"$oid":"xyz"}}', '{"$oid":"xyz"} cannot be read'],
  ['{"_id":"a","name":5}', 'name is not text'],
  ['{"_id":"a","createdAt":true}', 'createdAt is not a time'],
  ['{"_id":"a","createdAt":{"$date":null}}', 'null is not a time'],
  ['{"_id":"a","createdAt":{"$date":"soon"}}', '"soon" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"2026-02-30T00:00:00.000Z"}}', '"2026-02-30T00:00:00.000Z" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"2026-02-29T00:00:00.000Z"}}', '"2026-02-29T00:00:00.000Z" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"2026-13-01T00:00:00.000Z"}}', '"2026-13-01T00:00:00.000Z" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"2026-01-01T25:00:00.000Z"}}', '"2026-01-01T25:00:00.000Z" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"2026-01-01T10:00:00"}}', '"2026-01-01T10:00:00" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"May 1, 2026"}}', '"May 1, 2026" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"+012345-01-01T00:00:00Z"}}', '"+012345-01-01T00:00:00Z" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"0000-01-01T00:30:00+01:00"}}', '"0000-01-01T00:30:00+01:00" is not a time'],
  ['{"_id":"a","createdAt":{"$date":{"$numberLong":"253402300800000"}}}', '253402300800000 is not a time'],
  ['{"_id":"a","createdAt":{"$date":{"$numberLong":"soon"}}}', '{"$numberLong":"soon"} cannot be read'],
  ['{"_id":"a","unknown":"yes"}', 'unknown is not true or false'],
  ['{"_id":"a","emails":"a@example.com"}', 'emails is not a list'],
  ['{"_id":"a","emails":["a@example.com"]}', 'emails is not an object'],
  ['{"_id":"a","emails":[null]}', 'emails.address is missing'],
  ['{"_id":"a","channels":[{"name":"widget"}]}', 'channels.visitor.visitorId is missing'],
  ['{"_id":"a","channels":[{"visitor":{"visitorId":"v"},"details":"none"}]}', 'channels.details is not an object'],
  ['{"_id":"a","customFields":{"$numberInt":"5"}}', 'customFields is not an object'],
  ['{"_id":"a","customFields":{"n":{"$numberInt":"12abc"}}}', '{"$numberInt":"12abc"} cannot be read'],
  ['{"_id":"a","customFields":{"n":{"$numberDouble":"abc"}}}', '{"$numberDouble":"abc"} cannot be read'],
  ['{"_id":"a","customFields":{"n":{"$numberDecimal":"abc"}}}', '{"$numberDecimal":"abc"} cannot be read'],
  ['{"_id":"a","customFields":{"n":{"$binary":5}}}', '{"$binary":5} cannot be read'],
  [`{"_id":"a","customFields":{"n":{"$uuid":"${'z'.repeat(500)}"}}}`, `{"$uuid":"${'z'.repeat(90)}… cannot be read`],
  [`{"_id":"a","customFields":{"a":${deeplyNested}}}`, 'is nested too deeply'],
  [`{"_id":"a","customFields":{"$a":${deeplyNested}}}`, 'is nested too deeply'],
  ['{"_id":"a","emails":[{"address":"a"}],"phones":[{"phoneNumber":"taken"}]}', 'UNIQUE constraint failed: omnichannel_contact_phone.phone_number'],
  ['{"_id":"a","emails":[{"address":"a"}],"phones":[{"phoneNumber":"never"}]}', "CHECK constraint failed: phone_number <> 'never'"]
]

/** Constraints of a host, which the second row of a line may break. */
const constraintsOfTheHost = `
  INSERT INTO omnichannel_contact (id, name) VALUES ('0', 'Older');
  INSERT INTO omnichannel_contact_phone VALUES ('0', 0, 'taken');
  CREATE UNIQUE INDEX one_phone ON omnichannel_contact_phone (phone_number);
  ALTER TABLE omnichannel_contact_phone ADD COLUMN checked INTEGER CHECK (phone_number <> 'never')`

t.test('a bad line: its number and the reason, and nothing of the file is imported', async (t) => {
  for (const [line, reason] of badLines) {
    const { run, ids, file } = createExport(t, Buffer.concat([contactLine(1), line, `\n${contactLine(2)}`].map((part) => Buffer.from(part))))
    await cli(['user', 'add', 'ann', '--database', file])
    withDatabase(file, (database) => database.exec(constraintsOfTheHost))
    const { code, out, err } = await run()
    t.equal(code, 1, reason)
    t.equal(out, '', reason)
    t.ok(err.endsWith(`contacts.jsonl, line 2: ${reason}; nothing of this file was imported\n`), `${reason}: ${err}`)
    t.strictSame(ids(), ['0'], reason)
  }
})

t.test('--on-error skip: reports each bad line and imports the others', async (t) => {
  const content = badLines.flatMap(([line], i) => [line, `\r\n${contactLine(i + 1)}`])
  const { run, ids, file, folder } = createExport(t, Buffer.concat(content.map((part) => Buffer.from(part))))
  await cli(['user', 'add', 'ann', '--database', file])
  withDatabase(file, (database) => database.exec(constraintsOfTheHost))
  const { code, out, err } = await run(['--on-error', 'skip'])
  t.equal(code, 0)
  t.match(out, `contacts: ${badLines.length} new, 0 updated, 0 ignored, ${badLines.length} skipped`)
  t.strictSame(err.trimEnd().split('\n'),
    badLines.map(([, reason], i) => `${join(folder, 'contacts.jsonl')}, line ${2 * i + 1}: ${reason} (skipped)`))
  t.strictSame(ids().map(Number).sort((a, b) => a - b), Array.from({ length: badLines.length + 1 }, (_, i) => i))
  t.equal(withDatabase(file, (database) => database.prepare('SELECT count(*) FROM omnichannel_contact_email').pluck().get()), 0)
})

t.test('--on-error skip: a line that a UNIQUE index of the host refuses is skipped, also in the first import', async (t) => {
  const line = (id: string, phone: string): string => `{"_id":"${id}","phones":[{"phoneNumber":"${phone}"}]}\n`
  const { run, ids, file } = createExport(t, line('1', 'a') + line('2', 'a') + line('3', 'b'))
  await cli(['user', 'add', 'ann', '--database', file])
  withDatabase(file, (database) => database.exec('CREATE UNIQUE INDEX one_phone ON omnichannel_contact_phone (phone_number)'))
  t.match(await run(['--on-error', 'skip']), { code: 0, out: /^contacts: 2 new, 0 updated, 0 ignored, 1 skipped/, err: /, line 2: UNIQUE constraint failed/ })
  t.strictSame(ids(), ['1', '3'])
})

t.test('a line that is too long: a bad line like others, also from stdin', async (t) => {
  const content = Buffer.concat([Buffer.from(`${contactLine(1)}{"_id":"`), Buffer.alloc(maxLineBytes, 'x'), Buffer.from(`"}\n${contactLine(2)}bad\n`)])
  const { run, file, folder, ids } = createExport(t, content)
  t.match(await run(), { code: 1, err: /line 2: this is a line that is too long, of more than 64 MiB: is it really JSON lines\?; nothing/ })
  const skip = ['import', '--database', file, '--on-error', 'skip', '--contacts']
  for (const input of [join(folder, 'contacts.jsonl'), '-']) {
    t.match(await cli([...skip, input], { stdin: content }),
      { code: 0, out: /^contacts: .* 2 skipped/, err: /line 2: this is a line that is too long.*\n.*line 4: this is not JSON/ })
  }
  t.strictSame(ids(), ['1', '2'])
})

t.test('byte order marks, blank lines, U+0000 and repeated ids: imported', async (t) => {
  const { run, ids, file } = createExport(t,
    `\uFEFF${contactLine(1)}\r\n  \n\uFEFF${contactLine(2)}{"_id":"3","name":"nul \\u0000"}\n${contactLine(2)}${contactLine(4).trimEnd()}`)
  t.match(await run(), { code: 0, out: /^contacts: 4 new, 1 updated, 0 ignored, 0 skipped/ })
  t.strictSame(ids(), ['1', '2', '3', '4'])
  t.equal(withDatabase(file, (database) => database.prepare("SELECT name FROM omnichannel_contact WHERE id = '3'").pluck().get()), 'nul \0')
})

t.test('--batch: the batches before a bad line stay', async (t) => {
  const { run, ids } = createExport(t, `${[1, 2, 3, 4, 5].map(contactLine).join('')}bad\n`)
  const { code, err } = await run(['--batch', '2'])
  t.equal(code, 1)
  t.match(err, /line 6: this is not JSON; the first 4 lines were imported\n$/)
  t.strictSame(ids(), ['1', '2', '3', '4'])
})

t.test('--dry-run, with and without a database: prints the summary, and writes nothing', async (t) => {
  const { run, ids, file, folder } = createExport(t, contactLine(1) + contactLine(2))
  const { code, out } = await run(['--dry-run', '--batch', '1'])
  t.equal(code, 0)
  t.match(out, /^contacts: 2 new, 0 updated, 0 ignored, 0 skipped \(\d+ lines\/s\); a dry run, nothing was written\n$/)
  t.notOk(existsSync(file), 'not even a file')
  await cli(['user', 'add', 'ann', '--database', file])
  await run(['--dry-run'])
  t.strictSame(ids(), [])
  t.match(await cli(['import', '--dry-run', '--database', file, '--contacts', '-'], { stdin: '' }), { code: 0, out: /^contacts: 0 new, .*; a dry run, nothing was written\n$/ })
  t.match(await cli(['import', '--dry-run', '--database', file, '--contacts', folder]), { code: 1, err: /cannot be read: it is a folder/ })
})

t.test('the file -: stdin, for one collection only', async (t) => {
  const { file, ids } = createExport(t, '')
  t.match(await cli(['import', '--database', file, '--contacts', '-'], { stdin: `\uFEFF${contactLine(1)}\r\n${contactLine(2)}`.trimEnd() }),
    { code: 0, out: /^contacts: 2 new/ })
  t.strictSame(ids(), ['1', '2'])
  t.match(await cli(['import', '--database', file, '--contacts', '-', '--users', '-']), { code: 2, err: 'Only one file can be stdin\n' })
})

t.test('wrong settings: a sentence, and no new database', async (t) => {
  const { run, file } = createExport(t, '')
  t.match(await run(['--on-error', 'panic']), { code: 2, err: /^Option '--on-error <ACTION>' argument 'panic' is invalid: allowed choices are skip, fail; / })
  t.match(await run(['--batch', '0']), { code: 2, err: /^Option '--batch <LINES>' argument '0' is invalid: it must be a whole number from 1; / })
  t.match(await run(['--users', 'none.jsonl']), { code: 1, err: /^The file none\.jsonl cannot be read: ENOENT/ })
  t.notOk(existsSync(file))
})

t.test('a trigger that refuses a row: nothing of the file is imported, also with --on-error skip', async (t) => {
  const { run, ids, file } = createExport(t, contactLine(1) + contactLine('refused'))
  await cli(['user', 'add', 'ann', '--database', file])
  const database = openDatabase(file)
  const createTrigger = (action: string) =>
    `CREATE TRIGGER refuse BEFORE INSERT ON omnichannel_contact WHEN new.id = 'refused' BEGIN SELECT raise(${action}); END`
  database.exec(createTrigger("ABORT, 'not this one'"))
  t.match(await run(['--on-error', 'skip']), { code: 1, err: /line 2: not this one; nothing of this file was imported\n$/ })
  t.strictSame(ids(), [])
  database.exec(`DROP TRIGGER refuse; ${createTrigger("ROLLBACK, 'all gone'")}`)
  t.match(await run(), { code: 1, err: /line 2: all gone; nothing of this file was imported\n$/ })
  t.match(await run(['--on-error', 'skip']), { code: 1, err: /line 2: all gone; nothing of this file was imported\n$/ })
  t.strictSame(ids(), [])
  database.close()
})
