import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { allRows } from '../helpers/test-server.js'
import { linesOf, summary } from './export-names.js'
import { withDatabase, withDb } from './sqlite-files.js'
import { cli } from './run-cli.js'

const fixtures = 'test/fixtures/export'
const kinds = ['inquiries', 'subscriptions', 'rooms', 'contacts', 'users', 'permissions', 'custom-fields']
const allOptions = kinds.flatMap((kind) => [`--${kind}`, join(fixtures, `${kind}.jsonl`)])

const rowsIn = async (file: string) => await withDb(file, allRows)

const expected = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as Record<string, unknown[]>
const withoutMigrations = (tables: Record<string, unknown[]>) =>
  Object.fromEntries(Object.entries(tables).filter(([table]) => table !== 'omnichannel_migration'))

t.test('a complete export, in both kinds of extended JSON: all rows are stored', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { code, out, err } = await cli(['import', '--database', file, ...allOptions])
  t.equal(code, 0)
  t.equal(err, '')
  t.strictSame(linesOf(out), summary)
  t.strictSame(withoutMigrations(await rowsIn(file)), expected)
})

t.test('an import, also one that fails: the indexes that it has dropped are created again', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const indexes = () => withDatabase(file, (database) =>
    database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name").all())
  await cli(['user', 'add', 'ann', '--database', file])
  const before = indexes()
  t.equal((await cli(['import', '--database', file, '--contacts', '-'], { stdin: 'bad' })).code, 1)
  t.strictSame(indexes(), before)
  t.equal((await cli(['import', '--database', file, ...allOptions])).code, 0)
  t.strictSame(indexes(), before)
})

t.test('the same export again: no duplicates', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['import', '--database', file, ...allOptions])
  const { code, out } = await cli(['import', '--database', file, ...allOptions])
  t.equal(code, 0)
  t.match(out, 'contacts: 0 new, 3 updated, 0 ignored, 0 skipped')
  const again = withoutMigrations(await rowsIn(file)) as Record<string, object[]>
  for (const row of again.omnichannel_contact!) t.match(row, { version: 2 })
  again.omnichannel_contact = again.omnichannel_contact!.map((row) => ({ ...row, version: 1 }))
  t.strictSame(again, expected)
})

t.test('a changed contact and room: the lists are replaced, and the room gets its new contact', async (t) => {
  const folder = t.testdir({
    'contacts.jsonl': '{"_id":"blank","name":"Now","emails":[{"address":"now@example.com"}]}',
    'rooms.jsonl': '{"_id":"room-1","t":"l","contactId":"blank","fname":"Now"}'
  })
  const file = join(folder, 'a.db')
  await cli(['import', '--database', file, ...allOptions])
  const { code } = await cli(['import', '--database', file, '--contacts', join(folder, 'contacts.jsonl'), '--rooms', join(folder, 'rooms.jsonl')])
  t.equal(code, 0)
  const { out } = await cli(['contact', 'blank', '--database', file])
  const { contact, rooms } = JSON.parse(out) as { contact: object, rooms: object[] }
  t.match(contact, { name: 'Now', emails: [{ address: 'now@example.com' }], phones: [], channels: [], unknown: false })
  t.match(rooms, [{ _id: 'room-1', fname: 'Now' }])
})

t.test('a personal access token without a time: gets the time of the import', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const user = { _id: 'ann', services: { resume: { loginTokens: [{ hashedToken: 'h', type: 'personalAccessToken' }] } } }
  t.equal((await cli(['import', '--database', file, '--users', '-'], { stdin: JSON.stringify(user) })).code, 0)
  const [token] = (await rowsIn(file)).omnichannel_auth_token as Array<{ created_at: string }>
  t.ok(Math.abs(Date.parse(token!.created_at) - Date.now()) < 60_000)
})

t.test('an imported contact: printed as the API returns it', async (t) => {
  const file = join(t.testdir(), 'a.db')
  await cli(['import', '--database', file, ...allOptions])
  const { out } = await cli(['contact', '66f0a1b2c3d4e5f601234567', '--database', file])
  t.strictSame(JSON.parse(out), JSON.parse(readFileSync(join(fixtures, 'maria.json'), 'utf8')))
  t.equal((await cli(['contact', 'gone', '--database', file])).code, 1)
})
