import type Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { Option, type Command } from 'commander'
import { collect, wholeNumber, type Io } from '../command.js'
import { collections, type Collection } from './collections.js'
import { UsageError } from '../errors.js'
import { importFile, type ImportSettings } from './import-file.js'
import { databaseOption, openDatabase } from '../open-database.js'

interface Options extends Record<string, unknown> {
  database: string
  onError: 'skip' | 'fail'
  batch?: number
  dryRun?: boolean
}

const description = `Import a Rocket.Chat export, the JSON lines that mongoexport writes.

One file for each collection, - for stdin. What is there already is replaced, so an import can be repeated. Each file is imported \
as a whole or not at all. Personal access tokens come along with their users. For example:

  mongoexport --db rocketchat --collection rocketchat_livechat_contact --out contacts.jsonl
  fastify-omnichannel-contacts import --contacts contacts.jsonl`

export function importExport (parent: Command, io: Io): void {
  const command = parent.command('import')
    .summary('Import a Rocket.Chat export, the JSON lines that mongoexport writes')
    .description(description)
    .addOption(databaseOption())
  for (const { name, source } of collections) command.option(`--${name} <FILE>`, `the collection ${source}; may be given several times`, collect)
  command
    .addOption(new Option('--on-error <ACTION>', 'what to do about a bad line; a skipped one is reported').choices(['skip', 'fail']).default('fail'))
    .option('--batch <LINES>', 'commit every so many lines, so that a running server need not wait for the end', wholeNumber(1))
    .option('--dry-run', 'do it all, and write nothing')
    .action(async (options: Options) => {
      const { database: path, dryRun = false, onError, batch = Infinity } = options
      const settings: ImportSettings = { skipsBadLines: onError === 'skip', batch: dryRun ? Infinity : batch, dryRun }
      const files = collections.flatMap((collection) => filesOf(options, collection).map((file) => ({ collection, file })))
      if (files.length === 0) throw new UsageError('No file to import: name one, as in --contacts contacts.jsonl; see import --help')
      if (files.filter(({ file }) => file === '-').length > 1) throw new UsageError('Only one file can be stdin')

      const database = await openDatabase(dryRun && !existsSync(path) ? ':memory:' : path, io)
      try {
        tune(database)
        for (const { collection, file } of files) await importFile(database, collection, file, settings, io)
      } finally {
        database.close()
      }
    })
}

function filesOf (options: Options, { name }: Collection): string[] {
  return (options[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())] ?? []) as string[]
}

function tune (database: Database.Database): void {
  // The indexes on addresses and visitors are written all over.
  database.pragma('cache_size = -65536') // KiB
  // A contact's lists are only ever written after the contact.
  database.pragma('foreign_keys = OFF')
}
