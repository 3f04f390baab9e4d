import type Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { wholeNumber, type Command, type Given, type Option } from '../command.js'
import { UsageError } from '../errors.js'
import { databaseOption, openDatabase } from '../open-database.js'
import { collections } from './collections.js'
import { importFile, type ImportSettings } from './import-file.js'

export const importExport: Command = {
  name: 'import',
  summary: 'Import a Rocket.Chat export, the JSON lines that mongoexport writes',
  details: 'One file for each collection, - for stdin. What is there already is replaced, so an import can be repeated. Each\n' +
    'file is imported as a whole or not at all. Personal access tokens come along with their users. For example:\n\n' +
    '  mongoexport --db rocketchat --collection rocketchat_livechat_contact --out contacts.jsonl\n' +
    '  fastify-omnichannel-contacts import --contacts contacts.jsonl',
  options: {
    database: databaseOption,
    ...Object.fromEntries(collections.map(({ name, source }): [string, Option] =>
      [name, { value: 'FILE', help: `the collection ${source}`, multiple: true }])),
    'on-error': { value: 'skip|fail', help: 'what to do about a bad line; a skipped one is reported', default: 'fail' },
    batch: { value: 'LINES', help: 'commit every so many lines, so that a running server need not wait for the end' },
    'dry-run': { help: 'do it all, and write nothing' }
  },
  run: async (given, io) => {
    const settings = readSettings(given)
    const files = collections.flatMap((collection) => given.texts(collection.name).map((file) => ({ collection, file })))
    if (files.length === 0) throw new UsageError('No file to import: name one, as in --contacts contacts.jsonl; see import --help')
    if (files.filter(({ file }) => file === '-').length > 1) throw new UsageError('Only one file can be stdin')

    const path = given.text('database') as string
    const database = await openDatabase(settings.dryRun && !existsSync(path) ? ':memory:' : path, io)
    try {
      tune(database)
      for (const { collection, file } of files) await importFile(database, collection, file, settings, io)
    } finally {
      database.close()
    }
  }
}

function readSettings (given: Given): ImportSettings {
  const onError = given.text('on-error') as string
  if (!['skip', 'fail'].includes(onError)) throw new UsageError(`--on-error must be skip or fail, and is '${onError}'`)
  const dryRun = given.has('dry-run')
  const batch = given.has('batch') ? wholeNumber(given, 'batch', 1, Number.MAX_SAFE_INTEGER) : Infinity
  return { skipsBadLines: onError === 'skip', batch: dryRun ? Infinity : batch, dryRun }
}

function tune (database: Database.Database): void {
  // The indexes on addresses and visitors are written all over.
  database.pragma('cache_size = -65536') // KiB
  // A contact's lists are only ever written after the contact.
  database.pragma('foreign_keys = OFF')
}
