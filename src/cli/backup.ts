import type Database from 'better-sqlite3'
import type { Command } from 'commander'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { withInterruption, type Io } from './command.js'
import { CommandError, InterruptedError } from './errors.js'
import { fileOption, openFile, readFileName } from './database.js'
import { print, report } from './output.js'

interface Options {
  database: string
  overwrite?: boolean
}

export function backup (parent: Command, io: Io): void {
  parent.command('backup')
    .summary('Copy the database to a file, also while it is served')
    .description('Copy the database to a file, also while it is served.\n\n' +
      'The copy is the database as it was when the backup began. It appears when it is complete, and only its owner may ' +
      'read it. A backup that fails or is stopped leaves nothing behind; one that is killed leaves a file .part, which the next one names.')
    .argument('<FILE>', 'the copy', readFileName)
    .addOption(fileOption())
    .option('--overwrite', 'replace FILE where it exists')
    .action(async (file: string, { database, overwrite = false }: Options) => {
      const handle = await openFile(database, io, 'read')
      try {
        // In a transaction that has read, the copying does not start again at every write of another program.
        handle.exec('BEGIN')
        handle.prepare('SELECT 1 FROM sqlite_schema').get()
        const bytes = await writeAtomically(file, { source: database, overwrite }, async (unfinished) => {
          reportOthers(unfinished, io)
          await withInterruption(io, (signal) => copyDatabase(handle, unfinished, io, signal))
        })
        print(io, `Copied ${database} to ${file}, ${(bytes / 1e6).toFixed(1)} MB\n`)
      } finally {
        handle.close()
      }
    })
}

const pagesAtOnce = 1000

/** Copies by SQLite's online backup, with progress on stderr. */
async function copyDatabase (handle: Database.Database, file: string, io: Io, signal: AbortSignal): Promise<void> {
  const progress = createProgress(io)
  try {
    await handle.backup(file, {
      progress: ({ totalPages, remainingPages }) => {
        if (signal.aborted) throw new InterruptedError('Interrupted before the copy was complete: there is none', signal.reason as NodeJS.Signals)
        progress.show(1 - remainingPages / totalPages)
        return pagesAtOnce
      }
    })
  } finally {
    progress.clear()
  }
}

/** A line that counts up on a terminal, one for every tenth elsewhere. */
function createProgress ({ stderr }: Io): { show: (done: number) => void, clear: () => void } {
  const onTerminal = stderr.isTTY === true
  const step = onTerminal ? 1 : 10
  let shown = 0
  return {
    show: (done) => {
      const percent = Math.floor(done * 100 / step) * step
      if (percent === shown) return
      shown = percent
      stderr.write(onTerminal ? `\rbackup ${percent} %` : `backup: ${percent} %\n`)
    },
    clear: () => {
      if (onTerminal) stderr.write('\r\x1b[K')
    }
  }
}

interface Terms {
  /** The file that it is a copy of. */
  source: string
  overwrite: boolean
}

/**
 * Has `write` fill a new file beside `file`, and then gives it that name. Returns its size.
 *
 * @throws {CommandError}
 */
async function writeAtomically (file: string, terms: Terms, write: (unfinished: string) => Promise<void>): Promise<number> {
  const unfinished = `${resolve(file)}.${randomBytes(4).toString('hex')}.part`
  let isCreated = false
  try {
    refuse(file, terms)
    closeSync(openSync(unfinished, 'wx', 0o600))
    isCreated = true
    await write(unfinished)
    const { size } = statSync(unfinished)
    // Again, as another program may have made the file meanwhile.
    refuse(file, terms)
    if (!terms.overwrite) closeSync(openSync(file, 'wx', 0o600))
    renameSync(unfinished, file)
    persist(file)
    return size
  } catch (error) {
    if (isCreated) for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(`${unfinished}${suffix}`, { force: true })
    if (error instanceof CommandError) throw error
    // What comes after the comma is the name that it has only while it is unfinished.
    const [reason = ''] = (error as Error).message.split(',')
    throw new CommandError(`The file ${file} cannot be written: ${reason}`, { cause: error })
  }
}

function refuse (file: string, { source, overwrite }: Terms): void {
  const there = statSync(file, { throwIfNoEntry: false })
  const { dev, ino } = statSync(source)
  if (there?.isDirectory()) throw new CommandError(`${file} is a folder: name a file in it`)
  if (there?.dev === dev && there.ino === ino) throw new CommandError(`${file} is the database itself: name another file for the copy`)
  if (there !== undefined && !overwrite) throw new CommandError(`${file} exists already: name another file, or replace it with --overwrite`)
  // It would be taken for a part of the copy.
  if (existsSync(`${file}-wal`)) throw new CommandError(`${file} is a database in use: name another file for the copy`)
}

/** Names what backups that were killed have left. One that still runs cannot be told from them, so nothing is removed. */
function reportOthers (unfinished: string, io: Io): void {
  const folder = dirname(unfinished)
  const parts = readdirSync(folder).filter((name) => /\.[\da-f]{8}\.part$/.test(name) && name !== basename(unfinished))
  for (const part of parts) report(io, `There is an unfinished copy ${join(folder, part)}: remove it unless another backup is running`)
}

/** SQLite has written what is in it; this writes the journal of the file system, where the new name stands. */
function persist (file: string): void {
  const descriptor = openSync(file, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}
