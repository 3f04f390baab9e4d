import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cli } from './run-cli.js'
import { collectionOf, linesOf, summary } from './export-names.js'

/** The names of the options that name a file. */
const options = Object.keys(collectionOf)
const fixture = (option: string) => readFileSync(`test/fixtures/export/${option}.jsonl`, 'utf8')
/** The files of an export, with the names that mongoexport users give them. */
const exportFiles = (options: string[], ending: string) => Object.fromEntries(options.map((option) => [`${collectionOf[option]}${ending}`, fixture(option)]))

t.test('--folder: imports all seven files in their order, and ignores others', async (t) => {
  for (const ending of ['.json', '.jsonl']) {
    const folder = t.testdir({ ...exportFiles(options, ending), 'rocketchat_settings.json': 'bad', 'contacts.csv': 'bad' })
    const { code, out, err } = await cli(['import', '--database', join(folder, 'a.db'), '--folder', folder])
    t.strictSame([code, linesOf(out), err], [0, summary, ''])
  }
})

t.test('--folder without some of the files: they are named, and the others are imported', async (t) => {
  const folder = t.testdir(exportFiles(['users', 'contacts'], '.json'))
  const { code, out, err } = await cli(['import', '--database', join(folder, 'a.db'), '--folder', folder])
  t.equal(code, 0)
  t.strictSame(linesOf(out), summary.slice(2, 4))
  t.equal(err, `The folder ${folder} has no file of rocketchat_livechat_custom_field, rocketchat_permissions, rocketchat_room, ` +
  'rocketchat_subscription, rocketchat_livechat_inquiry; the others are imported\n')
})

t.test('--folder with another file for one collection: both are imported', async (t) => {
  const folder = t.testdir({ export: exportFiles(options.filter((option) => option !== 'contacts'), '.json'), 'more.jsonl': fixture('contacts') })
  const { code, out, err } = await cli(['import', '--database', join(folder, 'a.db'), '--contacts', join(folder, 'more.jsonl'), '--folder', join(folder, 'export')])
  t.strictSame([code, linesOf(out), err], [0, summary, ''])
})

t.test('a folder without an export: one sentence, and no new database', async (t) => {
  const folder = t.testdir({ empty: {}, both: { 'users.json': '', 'users.jsonl': '' }, file: '', inside: { 'users.json': {} } })
  const scenarios: Array<[name: string, sentence: RegExp]> = [
    ['none', /^The folder .*none cannot be read: ENOENT/],
    ['file', /^The folder .*file cannot be read: ENOTDIR/],
    ['empty', /^The folder .*empty holds no file of an export, such as users\.json or rocketchat_livechat_contact\.json\n$/],
    ['both', /^The folder .*both holds both users\.json and users\.jsonl: which one is it\?\n$/],
    ['inside', /^The file .*users\.json cannot be read: it is a folder\n$/]
  ]
  for (const [name, err] of scenarios) {
    t.match(await cli(['import', '--database', join(folder, 'a.db'), '--folder', join(folder, name)]), { code: 1, out: '', err }, name)
  }
  t.notOk(existsSync(join(folder, 'a.db')))
})
