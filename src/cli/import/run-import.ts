import { once } from 'node:events'
import { constants, createReadStream, existsSync, fstatSync, openSync } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Connection } from '../../store/sqlite/connection.js'
import { connect } from '../../store/sqlite/node-sqlite.js'
import { accessFor, openDatabase, openUnchecked, tablesIn, withFile } from '../database.js'
import { CommandError, UsageError } from '../errors.js'
import { print, report } from '../output.js'
import { withInterruption, type FileHandle, type Io } from '../shared.js'
import { collections, type CollectionName } from './collections.js'
import { dryRunNote, importFile, type ExportFile, type ImportOptions } from './import-file.js'
import { disableMissing } from './store-document.js'

const collectionNames = Object.keys(collections) as CollectionName[]

/** The files that were named, by the option of their collection. */
export type NamedFiles = Partial<Record<CollectionName, string[]>>

export async function runImport (options: ImportOptions, named: NamedFiles, io: Io): Promise<void> {
  const files = await chooseFiles(options.folder, named, io)
  const lastOfContacts = files.findLast(({ name }) => name === 'contacts')
  if (options.disableMissing && lastOfContacts === undefined) {
    throw new UsageError('--disable-missing needs the contacts: name their file with --contacts or --folder; see import --help')
  }
  const opened: FileHandle[] = []
  let database: Connection | undefined
  const exported = options.disableMissing ? new Set<string>() : undefined
  let skipped = 0
  await withInterruption(io, async (signal) => {
    try {
      for (const file of files) {
        const input = await openInput(file.file, io, signal)
        try {
          // Open the database after the input, so that a missing input does not change it.
          database ??= connect(await openTarget(options, opened, io))
          const isOfContacts = file.name === 'contacts'
          const skippedLines = await importFile(database, file, input, options, isOfContacts ? exported : undefined, io, signal)
          if (isOfContacts) skipped += skippedLines
          if (file === lastOfContacts && exported !== undefined) disableContacts(database, exported, skipped, options, io)
        } finally {
          input.destroy()
        }
      }
    } finally {
      // Close the last handle first.
      for (const handle of opened.reverse()) handle.close()
    }
  })
}

function disableContacts (database: Connection, exported: Set<string>, skipped: number, { dryRun = false }: ImportOptions, io: Io): void {
  if (skipped > 0) report(io, `No contact was disabled, because ${skipped} lines of the contacts were skipped`)
  else if (exported.size === 0) report(io, 'No contact was disabled, because the export has none at all')
  else print(io, `contacts: ${disableMissing(database, exported, dryRun)} disabled that the export lacks${dryRun ? dryRunNote : ''}\n`)
}

/** Opens the database, and adds each handle to `opened`. If the file has none of our tables, a dry run fills a database in memory. */
async function openTarget (options: ImportOptions, opened: FileHandle[], io: Io): Promise<FileHandle> {
  const { database: file, create, dryRun, onError } = options
  const access = dryRun ? 'rehearse' : accessFor(options)
  return await withFile(file, access, async () => {
    let tables: ReturnType<typeof tablesIn> = 'none'
    if (dryRun && existsSync(file)) {
      // The last handle to close moves the log of a killed program into the file, unless it only reads. So this one reads, and is closed last.
      const reader = await openUnchecked(file, io, 'read')
      opened.push(reader)
      tables = tablesIn(reader)
    }
    const inMemory = dryRun && (tables === 'none' || (tables === 'others' && create))
    const database = await (inMemory ? openDatabase(':memory:', io, 'create') : openDatabase(file, io, access))
    opened.push(database)
    // 64 MiB, because rows of the indexes on addresses and visitors are written in random order.
    database.exec('PRAGMA cache_size = -65536')
    // A contact's lists are always written after the contact.
    database.exec('PRAGMA foreign_keys = OFF')
    // With `skip` each line has a savepoint. Writing its journal to a file would take a third of the time.
    if (onError === 'skip') database.exec('PRAGMA temp_store = MEMORY')
    return database
  })
}

/** Waits until there is something to read. */
async function openInput (file: string, io: Io, signal: AbortSignal): Promise<Readable> {
  const input = file === '-' ? io.stdin : await openStream(file)
  try {
    await once(input, 'readable', { signal })
    return input
  } catch (error) {
    input.destroy()
    if (signal.aborted) throw new CommandError(`${file}: interrupted; nothing of this file was imported`)
    throw unreadable(file, error as Error)
  }
}

/** Opens a named pipe without blocking: if no program writes to it, a blocked thread would keep the process from ending. */
async function openStream (file: string): Promise<Readable> {
  if (process.platform === 'linux' && (await stat(file)).isFIFO()) {
    return new Socket({ fd: openSync(file, constants.O_RDONLY | constants.O_NONBLOCK), writable: false })
  }
  return createReadStream(file, { highWaterMark: 256 * 1024 })
}

function unreadable (file: string, error: Error): CommandError {
  return new CommandError(`The file ${file} cannot be read: ${error.message}`, { cause: error })
}

/** Returns the files in the order of the collections. */
async function chooseFiles (folder: string | undefined, named: NamedFiles, io: Io): Promise<ExportFile[]> {
  const inFolder = folder === undefined ? {} : await findInFolder(folder)
  const filesOf = (name: CollectionName): string[] => [...inFolder[name] ?? [], ...named[name] ?? []]
  const chosen = collectionNames.flatMap((name) => filesOf(name).map((file) => ({ name, file })))
  if (chosen.length === 0) throw new UsageError('No file to import: name one, as in --contacts contacts.jsonl; see import --help')
  if (chosen.filter(({ file }) => file === '-').length > 1) throw new UsageError('Only one file can be stdin')

  const files = await Promise.all(chosen.map(({ name, file }) => checkFile(name, file, io)))
  const missing = collectionNames.filter((name) => filesOf(name).length === 0).map((name) => collections[name])
  if (folder !== undefined && missing.length > 0) {
    report(io, `The folder ${folder} has no file of ${missing.join(', ')}; the others are imported`)
  }
  return files
}

async function checkFile (name: CollectionName, file: string, io: Io): Promise<ExportFile> {
  try {
    const { fd } = io.stdin
    const stats = file !== '-' ? await stat(file) : fd === undefined ? undefined : fstatSync(fd)
    if (stats?.isDirectory()) throw new CommandError('it is a folder')
    if (file !== '-') await access(file, constants.R_OK)
    return { name, file, bytes: stats?.isFile() ? stats.size : undefined }
  } catch (error) {
    throw unreadable(file, error as Error)
  }
}

/** The files in a folder that mongoexport has written to. */
async function findInFolder (folder: string): Promise<NamedFiles> {
  const present = await readdir(folder).catch((error: unknown) => {
    throw new CommandError(`The folder ${folder} cannot be read: ${(error as Error).message}`, { cause: error })
  })
  const found: NamedFiles = {}
  for (const name of collectionNames) {
    const files = [`${collections[name]}.json`, `${collections[name]}.jsonl`].filter((file) => present.includes(file))
    if (files.length > 1) throw new CommandError(`The folder ${folder} holds both ${files.join(' and ')}: which one is it?`)
    found[name] = files.map((file) => join(folder, file))
  }
  if (Object.values(found).flat().length > 0) return found
  throw new CommandError(`The folder ${folder} holds no file of an export, such as users.json or rocketchat_livechat_contact.json`)
}
