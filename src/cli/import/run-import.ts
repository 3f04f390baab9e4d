import type Database from 'better-sqlite3'
import { once } from 'node:events'
import { constants, createReadStream, existsSync, fstatSync, openSync } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { withInterruption, type Io } from '../command.js'
import { CommandError, InterruptedError, UsageError, explain } from '../errors.js'
import { connectToRead, holds, openDatabase, withNewFile } from '../database.js'
import { print, report } from '../output.js'
import type { Collection } from './collection.js'
import { collections } from './collections.js'
import { contacts, disableMissing, noting } from './import-contacts.js'
import { afterDryRun, importFile, type ExportFile, type ImportSettings } from './import-file.js'

export interface ImportOptions {
  database: string
  create?: boolean
  folder?: string
  onError: 'skip' | 'fail'
  batch?: number
  dryRun?: boolean
  disableMissing?: boolean
}

/** The files that were named for each collection. */
type Named = Map<string, string[] | undefined>

export async function runImport (options: ImportOptions, named: Named, io: Io): Promise<void> {
  const { folder, onError, batch = Infinity, dryRun = false } = options
  const settings: ImportSettings = { skipsBadLines: onError === 'skip', batch: dryRun ? Infinity : batch, dryRun }
  const files = await chooseFiles(folder, named, io)
  const lastOfContacts = files.findLast(({ collection }) => collection === contacts)
  if (options.disableMissing && lastOfContacts === undefined) {
    throw new UsageError('--disable-missing needs the contacts: name their file with --contacts or --folder; see import --help')
  }
  const seen = new Set<string>()
  let skipped = 0
  let opened: Opened | undefined
  await withInterruption(io, async (signal) => {
    try {
      for (const file of files) {
        const input = await openInput(file, io, signal)
        try {
          opened ??= await (dryRun ? openForDryRun : openForImport)(options, io)
          tune(opened.database, settings)
          const isOfContacts = file.collection === contacts
          const collection = isOfContacts && options.disableMissing ? noting(contacts, seen) : file.collection
          const counts = await importFile(opened.database, { ...file, collection }, input, settings, io, signal)
          if (isOfContacts) skipped += counts.skipped
          if (file === lastOfContacts && options.disableMissing) disable(opened.database, { seen, skipped }, settings, io)
        } finally {
          input.destroy()
        }
      }
    } finally {
      opened?.close()
    }
  })
}

function disable (database: Database.Database, { seen, skipped }: { seen: Set<string>, skipped: number }, settings: ImportSettings, io: Io): void {
  if (skipped > 0) report(io, `No contact was disabled, because ${skipped} lines of the contacts were skipped`)
  else if (seen.size === 0) report(io, 'No contact was disabled, because the export has none at all')
  else print(io, `contacts: ${disableMissing(database, seen, settings.dryRun)} disabled that the export lacks${afterDryRun(settings)}\n`)
}

interface Opened {
  database: Database.Database
  close: () => void
}

async function openForImport ({ database: file, create }: ImportOptions, io: Io): Promise<Opened> {
  const database = await withNewFile(file, () => openDatabase(file, io, create ? 'add' : 'create'))
  return { database, close: () => { database.close() } }
}

/** So that the file stays as it is, byte for byte. Where there are no tables yet the import goes to memory. */
async function openForDryRun ({ database: file, create }: ImportOptions, io: Io): Promise<Opened> {
  // Keeps the log of a program that was killed.
  const last = existsSync(file) ? await connectToRead(file, io) : undefined
  try {
    const held = last === undefined ? 'nothing' : holds(last)
    const isNew = held === 'nothing' || (held === 'others' && create)
    const database = await openDatabase(isNew ? ':memory:' : file, io, isNew ? 'create' : 'try')
    return { database, close: () => { database.close(); last?.close() } }
  } catch (error) {
    last?.close()
    throw explain(file, error as Error)
  }
}

/** Opens a file and waits until there is something in it, so that the database is not touched before. */
async function openInput ({ file }: ExportFile, io: Io, signal: AbortSignal): Promise<Readable> {
  const input = file === '-' ? io.stdin : await openStream(file)
  try {
    await once(input, 'readable', { signal })
    return input
  } catch (error) {
    input.destroy()
    if (signal.aborted) throw new InterruptedError(`${file}: interrupted; nothing of this file was imported`, signal.reason as NodeJS.Signals)
    throw unreadable(file, error as Error)
  }
}

/** A named pipe that no program writes to yet would keep a thread waiting that cannot be ended. */
async function openStream (file: string): Promise<Readable> {
  if (process.platform === 'linux' && (await stat(file)).isFIFO()) {
    return new Socket({ fd: openSync(file, constants.O_RDONLY | constants.O_NONBLOCK), writable: false })
  }
  return createReadStream(file, { highWaterMark: 256 * 1024 })
}

function unreadable (file: string, error: Error): CommandError {
  return new CommandError(`The file ${file} cannot be read: ${error.message}`, { cause: error })
}

/** In the order of the collections, whatever the order of the options. */
async function chooseFiles (folder: string | undefined, named: Named, io: Io): Promise<ExportFile[]> {
  const inFolder = folder === undefined ? undefined : await findInFolder(folder, collections)
  const chosen = collections.flatMap((collection) =>
    [inFolder?.get(collection) ?? [], named.get(collection.name) ?? []].flat().map((file) => ({ collection, file })))
  if (chosen.length === 0) throw new UsageError('No file to import: name one, as in --contacts contacts.jsonl; see import --help')
  if (chosen.filter(({ file }) => file === '-').length > 1) throw new UsageError('Only one file can be stdin')

  const files = await Promise.all(chosen.map(({ collection, file }) => findFile(collection, file, io)))
  const missing = collections.filter((collection) => !chosen.some((file) => file.collection === collection))
  if (folder !== undefined && missing.length > 0) {
    report(io, `The folder ${folder} has no file of ${missing.map(({ source }) => source).join(', ')}; the others are imported`)
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
async function findFile (collection: Collection, file: string, io: Io): Promise<ExportFile> {
  try {
    const { fd } = io.stdin
    const stats = file !== '-' ? await stat(file) : fd === undefined ? undefined : fstatSync(fd)
    if (stats?.isDirectory()) throw new CommandError('it is a folder')
    if (file !== '-') await access(file, constants.R_OK)
    // A pipe has no size.
    return { collection, file, ...stats?.isFile() && { bytes: stats.size } }
  } catch (error) {
    throw unreadable(file, error as Error)
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
