import type Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import type { Io } from '../command.js'
import { UsageError } from '../errors.js'
import { withInterruption } from '../interruption.js'
import { openDatabase } from '../open-database.js'
import { collections } from './collections.js'
import { findFile, findInFolder, type ExportFile } from './files.js'
import { importFile, type ImportSettings } from './import-file.js'

export interface ImportOptions {
  database: string
  folder?: string
  onError: 'skip' | 'fail'
  batch?: number
  dryRun?: boolean
}

/** The files that were named for each collection. */
type Named = Map<string, string[] | undefined>

export async function runImport (options: ImportOptions, named: Named, io: Io): Promise<void> {
  const { database: path, folder, onError, batch = Infinity, dryRun = false } = options
  const settings: ImportSettings = { skipsBadLines: onError === 'skip', batch: dryRun ? Infinity : batch, dryRun }
  const files = await chooseFiles(folder, named, io)
  await withInterruption(io, async (signal) => {
    const database = await openDatabase(dryRun && !existsSync(path) ? ':memory:' : path, io)
    try {
      tune(database, settings)
      for (const file of files) await importFile(database, file, settings, io, signal)
    } finally {
      database.close()
    }
  })
}

/** In the order of the collections, whatever the order of the options. */
async function chooseFiles (folder: string | undefined, named: Named, io: Io): Promise<ExportFile[]> {
  const inFolder = folder === undefined ? undefined : await findInFolder(folder, collections)
  const chosen = collections.flatMap((collection) =>
    [inFolder?.get(collection) ?? [], named.get(collection.name) ?? []].flat().map((file) => ({ collection, file })))
  if (chosen.length === 0) throw new UsageError('No file to import: name one, as in --contacts contacts.jsonl; see import --help')
  if (chosen.filter(({ file }) => file === '-').length > 1) throw new UsageError('Only one file can be stdin')

  const files = await Promise.all(chosen.map(({ collection, file }) => findFile(collection, file)))
  const missing = collections.filter((collection) => !chosen.some((file) => file.collection === collection))
  if (folder !== undefined && missing.length > 0) {
    io.stderr.write(`The folder ${folder} has no file of ${missing.map(({ source }) => source).join(', ')}; the others are imported\n`)
  }
  return files
}

function tune (database: Database.Database, { skipsBadLines }: ImportSettings): void {
  // The indexes on addresses and visitors are written all over.
  database.pragma('cache_size = -65536') // KiB
  // A contact's lists are only ever written after the contact.
  database.pragma('foreign_keys = OFF')
  // What a savepoint may have to undo is otherwise written to a file, for each line, which takes a third of the time.
  if (skipsBadLines) database.pragma('temp_store = MEMORY')
}
