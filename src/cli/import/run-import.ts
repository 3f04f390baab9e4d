import type Database from 'better-sqlite3'
import { constants, existsSync } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { withInterruption, type Io } from '../command.js'
import { CommandError, UsageError } from '../errors.js'
import { openDatabase } from '../open-database.js'
import type { Collection } from './collection.js'
import { collections } from './collections.js'
import { importFile, type ExportFile, type ImportSettings } from './import-file.js'

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

/** @throws {CommandError} when it cannot be read */
async function findFile (collection: Collection, file: string): Promise<ExportFile> {
  if (file === '-') return { collection, file }
  try {
    const stats = await stat(file)
    if (stats.isDirectory()) throw new CommandError('it is a folder')
    await access(file, constants.R_OK)
    // A pipe has no size.
    return { collection, file, ...stats.isFile() && { bytes: stats.size } }
  } catch (error) {
    throw new CommandError(`The file ${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

const endings = ['.json', '.jsonl']

/**
 * The path of each collection in a folder that mongoexport has written to, undefined where there is none.
 *
 * @throws {CommandError} when there is no such folder, or none of the files in it, or two for one collection
 */
async function findInFolder (folder: string, collections: Collection[]): Promise<Map<Collection, string | undefined>> {
  const names = await namesIn(folder)
  const found = new Map(collections.map((collection) => {
    const files = endings.map((ending) => `${collection.source}${ending}`).filter((file) => names.includes(file))
    if (files.length > 1) throw new CommandError(`The folder ${folder} holds both ${files.join(' and ')}: which one is it?`)
    return [collection, files.map((file) => join(folder, file))[0]]
  }))
  if ([...found.values()].every((file) => file === undefined)) {
    throw new CommandError(`The folder ${folder} holds no file of an export, such as users.json or rocketchat_livechat_contact.json`)
  }
  return found
}

async function namesIn (folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    throw new CommandError(`The folder ${folder} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}
