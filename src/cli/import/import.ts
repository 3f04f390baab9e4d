import { Option, type Command } from 'commander'
import type Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { collect, wholeNumber, type Io } from '../command.js'
import { UsageError } from '../errors.js'
import { databaseOption, openDatabase } from '../open-database.js'
import type { Collection } from './collection.js'
import { collections } from './collections.js'
import { findFile, findInFolder, type ExportFile } from './files.js'
import { importFile, type ImportSettings } from './import-file.js'
import { withInterruption } from '../interruption.js'

interface Options extends Record<string, unknown> {
  database: string
  folder?: string
  onError: 'skip' | 'fail'
  batch?: number
  dryRun?: boolean
}

const sources = collections.map(({ source }) => source)

const description = `Import a Rocket.Chat export, the JSON lines that mongoexport writes.

One file for each collection, - for stdin, or all of them by Rocket.Chat's names from a --folder:

  for c in ${sources.slice(0, 4).join(' ')} \\
    ${sources.slice(4).join(' ')}
    do mongoexport --db rocketchat --collection $c --out export/$c.json; done
  fastify-omnichannel-contacts import --folder export

What is there already is replaced, so an import can be repeated. Each file is imported as a whole or not at all, unless --batch says \
otherwise. Ctrl-C says what became of the file that was being imported; the exit code is 130. A file of another collection is refused.

Users bring their personal access tokens. One that is gone from a user's next export is removed if an import brought it, and kept if it \
was made here; one that was revoked here and is still in the export comes back. A user who is gone from the export stays, with all \
tokens, until user deactivate or user remove. (Which tokens were imported is noted in a table of the command line's own, \
omnichannel_imported_token.)`

export function importExport (parent: Command, io: Io): void {
  const command = parent.command('import')
    .summary('Import a Rocket.Chat export, the JSON lines that mongoexport writes')
    .description(description)
    .addOption(databaseOption())
  for (const { name, source } of collections) command.option(`--${name} <FILE>`, `the collection ${source}; may be given several times`, collect)
  command
    .option('--folder <DIR>', 'all of these that it holds, as users.json or users.jsonl; what it lacks is named')
    .addOption(new Option('--on-error <ACTION>', 'what to do about a bad line; a skipped one is reported with its number')
      .choices(['skip', 'fail']).default('fail'))
    .option('--batch <LINES>', 'commit every so many lines, and let a running server write in between', wholeNumber(1))
    .option('--dry-run', 'do it all, and write nothing')
    .action(async (options: Options) => {
      const { database: path, dryRun = false, onError, batch = Infinity } = options
      const settings: ImportSettings = { skipsBadLines: onError === 'skip', batch: dryRun ? Infinity : batch, dryRun }
      const files = await chooseFiles(options, io)
      await withInterruption(io, async (signal) => {
        const database = await openDatabase(dryRun && !existsSync(path) ? ':memory:' : path, io)
        try {
          tune(database, settings)
          for (const file of files) await importFile(database, file, settings, io, signal)
        } finally {
          database.close()
        }
      })
    })
}

/** In the order of the collections, whatever the order of the options. */
async function chooseFiles (options: Options, io: Io): Promise<ExportFile[]> {
  const { folder } = options
  const inFolder = folder === undefined ? undefined : await findInFolder(folder, collections)
  const chosen = collections.flatMap((collection) =>
    [inFolder?.get(collection) ?? [], filesOf(options, collection)].flat().map((file) => ({ collection, file })))
  if (chosen.length === 0) throw new UsageError('No file to import: name one, as in --contacts contacts.jsonl; see import --help')
  if (chosen.filter(({ file }) => file === '-').length > 1) throw new UsageError('Only one file can be stdin')

  const files = await Promise.all(chosen.map(({ collection, file }) => findFile(collection, file)))
  const missing = collections.filter((collection) => !chosen.some((file) => file.collection === collection))
  if (folder !== undefined && missing.length > 0) {
    io.stderr.write(`The folder ${folder} has no file of ${missing.map(({ source }) => source).join(', ')}; the others are imported\n`)
  }
  return files
}

function filesOf (options: Options, { name }: Collection): string[] {
  return (options[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())] ?? []) as string[]
}

function tune (database: Database.Database, { skipsBadLines }: ImportSettings): void {
  // The indexes on addresses and visitors are written all over.
  database.pragma('cache_size = -65536') // KiB
  // A contact's lists are only ever written after the contact.
  database.pragma('foreign_keys = OFF')
  // What a savepoint may have to undo is otherwise written to a file, for each line, which takes a third of the time.
  if (skipsBadLines) database.pragma('temp_store = MEMORY')
}
