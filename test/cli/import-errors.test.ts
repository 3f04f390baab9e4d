import Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { longestLine, readLines } from '../../src/cli/import/lines.js'
import { cli, type Setup } from './io.js'

const good = (id: string | number) => `{"_id":"${id}","name":"Contact ${id}"}\n`

function start (t: Test, text: string) {
  const folder = t.testdir({ 'contacts.jsonl': text })
  const file = join(folder, 'a.db')
  return {
    file,
    folder,
    run: async (argv: string[] = [], setup?: Setup) =>
      await cli(['import', '--database', file, '--contacts', join(folder, 'contacts.jsonl'), ...argv], setup),
    ids: () => {
      const database = new Database(file)
      try {
        return database.prepare('SELECT id FROM omnichannel_contact ORDER BY id').pluck().all()
      } finally {
        database.close()
      }
    }
  }
}

const deep = '['.repeat(200) + ']'.repeat(200)
const badLines: Array<[line: string, reason: string]> = [
  ['{"_id":', 'this is not JSON'],
  ['[{"_id":"a","name":"A"}]', 'this is a JSON array and not JSON lines: export without --jsonArray'],
  ['5', 'the line is not an object'],
  ['null', '_id is missing'],
  ['{"name":"A"}', '_id is missing'],
  ['{"_id":{"a":1}}', '_id is not text'],
  ['{"_id":"a","name":5}', 'name is not text'],
  ['{"_id":"a","createdAt":true}', 'createdAt is not a time'],
  ['{"_id":"a","createdAt":{"$date":"soon"}}', '"soon" is not a time'],
  ['{"_id":"a","createdAt":{"$date":"+012345-01-01T00:00:00Z"}}', '"+012345-01-01T00:00:00Z" is not a time'],
  ['{"_id":"a","unknown":"yes"}', 'unknown is not true or false'],
  ['{"_id":"a","emails":"a@example.com"}', 'emails is not a list'],
  ['{"_id":"a","emails":["a@example.com"]}', 'emails is not an object'],
  ['{"_id":"a","emails":[null]}', 'emails.address is missing'],
  ['{"_id":"a","channels":[{"name":"widget"}]}', 'channels.visitor.visitorId is missing'],
  [`{"_id":"a","customFields":{"a":${deep}}}`, 'is nested too deeply']
]

t.test('a bad line: its number and the reason, nothing of the file is kept', async (t) => {
  for (const [line, reason] of badLines) {
    const { run, ids } = start(t, `${good(1)}${line}\n${good(2)}`)
    const { code, out, err } = await run()
    t.equal(code, 1, line)
    t.equal(out, '', line)
    t.ok(err.endsWith(`contacts.jsonl, line 2: ${reason}; nothing of this file was imported\n`), `${line}: ${err}`)
    t.strictSame(ids(), [], line)
  }
})

t.test('--on-error skip: reports each bad line and imports the others', async (t) => {
  const { run, ids } = start(t, badLines.map(([line], i) => `${line}\n${good(i)}`).join(''))
  const { code, out, err } = await run(['--on-error', 'skip'])
  t.equal(code, 0)
  t.match(out, `contacts: ${badLines.length} new, 0 updated, 0 ignored, ${badLines.length} skipped`)
  t.equal(err.trimEnd().split('\n').length, badLines.length)
  t.match(err, /contacts\.jsonl, line 1: this is not JSON \(skipped\)\n/)
  t.equal(ids().length, badLines.length)
})

t.test('--batch: what was committed before the bad line stays', async (t) => {
  const { run, ids } = start(t, `${[1, 2, 3, 4, 5].map(good).join('')}bad\n`)
  const { code, err } = await run(['--batch', '2'])
  t.equal(code, 1)
  t.match(err, /line 6: this is not JSON; the first 4 lines were imported\n$/)
  t.strictSame(ids(), ['1', '2', '3', '4'])
})

t.test('--dry-run: says what it would do, and writes nothing', async (t) => {
  const { run, ids, file, folder } = start(t, good(1) + good(2))
  const { code, out } = await run(['--dry-run', '--batch', '1'])
  t.equal(code, 0)
  t.match(out, /^contacts: 2 new, 0 updated, 0 ignored, 0 skipped \(\d+ lines\/s\); a dry run, nothing was written\n$/)
  t.notOk(existsSync(file), 'not even a file')
  await cli(['user', 'add', 'ann', '--database', file])
  await run(['--dry-run'])
  t.strictSame(ids(), [])
  t.match(await cli(['import', '--dry-run', '--database', file, '--contacts', folder]), { code: 1, err: /cannot be read: it is a folder/ })
})

t.test('- is stdin, once', async (t) => {
  const { file, ids } = start(t, '')
  t.match(await cli(['import', '--database', file, '--contacts', '-'], { stdin: `\uFEFF${good(1)}\r\n${good(2)}`.trimEnd() }),
    { code: 0, out: /^contacts: 2 new/ })
  t.strictSame(ids(), ['1', '2'])
  t.match(await cli(['import', '--database', file, '--contacts', '-', '--users', '-']), { code: 2, err: 'Only one file can be stdin\n' })
})

t.test('wrong settings: a sentence', async (t) => {
  const { run } = start(t, '')
  t.match(await run(['--on-error', 'panic']), { code: 2, err: /^Option '--on-error <ACTION>' argument 'panic' is invalid: allowed choices are skip, fail; / })
  t.match(await run(['--batch', '0']), { code: 2, err: /^Option '--batch <LINES>' argument '0' is invalid: it must be a whole number from 1; / })
  t.match(await run(['--users', 'none.jsonl']), { code: 1, err: /^The file none\.jsonl cannot be read: ENOENT/ })
})

t.test('a database that refuses: the file is undone even where bad lines are skipped', async (t) => {
  const { run, ids, file } = start(t, good(1) + good('evil'))
  await cli(['user', 'add', 'ann', '--database', file])
  const database = new Database(file)
  database.exec("CREATE TRIGGER no BEFORE INSERT ON omnichannel_contact WHEN new.id = 'evil' BEGIN SELECT raise(ABORT, 'not this one'); END")
  t.match(await run(['--on-error', 'skip']), { code: 1, err: /line 2: not this one; nothing of this file was imported\n$/ })
  t.strictSame(ids(), [])
  database.exec("DROP TRIGGER no; CREATE TRIGGER no BEFORE INSERT ON omnichannel_contact WHEN new.id = 'evil' BEGIN SELECT raise(ROLLBACK, 'all gone'); END")
  database.close()
  t.match(await run(), { code: 1, err: /line 2: all gone; nothing of this file was imported\n$/ })
})

t.test('readLines: whatever the chunks, the same lines', async (t) => {
  const text = 'erste Zeile é\n\nzweite 漢字\nletzte'
  for (const size of [1, 2, 3, 7, 100]) {
    const bytes = Buffer.from(text)
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
    const lines = []
    for await (const some of readLines((async function * () { yield * chunks })())) lines.push(...some.lines)
    t.strictSame(lines, text.split('\n'), `chunks of ${size}`)
  }
  const endless = async function * () { for (;;) yield Buffer.alloc(longestLine / 4, 'x') }
  await t.rejects(readLines(endless()).next(), { message: /a line that is too long/ })
})
