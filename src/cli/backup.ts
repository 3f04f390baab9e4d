import type { Command } from '@commander-js/extra-typings'
import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileOption, openDatabase, readFileName, removeFiles, withFile } from './database.js'
import { CommandError } from './errors.js'
import { createStatus, print, report } from './output.js'
import { pagesPerBackupStep, withInterruption, type FileHandle, type Io } from './shared.js'

export function backup (program: Command, io: Io): void {
  program.command('backup')
    .summary('Copy the database to a file, also while it is served')
    .description('Copy the database to a file, also while it is served.\n\n' +
      'The copy is the database as it was when the backup began. It appears when it is complete, and only its owner may ' +
      'read it. A backup that fails or is stopped leaves nothing behind. A killed backup leaves a file that ends in .part, and the next ' +
      'backup reports it.')
    .argument('<FILE>', 'the copy', readFileName)
    .addOption(fileOption())
    .option('--overwrite', 'replace FILE if it exists')
    .action((file, { database, overwrite = false }) => withFile(database, 'read', async () => {
      const handle = await openDatabase(database, io, 'read', { anyVersion: true })
      try {
        // Without a read transaction, each write of another program would restart the copy. It begins with the first read.
        handle.exec('BEGIN')
        handle.prepare('SELECT 1 FROM sqlite_schema').get()
        const bytes = await writeCopy(handle, file, overwrite, io)
        print(io, `Copied ${database} to ${file}, ${(bytes / 1e6).toFixed(1)} MB\n`)
      } finally {
        handle.close()
      }
    }))
}

/** Fills a new file beside `file`, then renames it to `file`. Returns its size. */
async function writeCopy (handle: FileHandle, file: string, overwrite: boolean, io: Io): Promise<number> {
  const unfinished = `${resolve(file)}.${randomBytes(4).toString('hex')}.part`
  // SQLite may create a journal, or a log and its index, beside the copy.
  const filesToRemove = [unfinished, `${unfinished}-journal`, `${unfinished}-wal`, `${unfinished}-shm`]
  try {
    checkTarget(file, handle.name, overwrite)
    writeFileSync(unfinished, '', { flag: 'wx' })
    reportUnfinishedCopies(unfinished, io)
    await withInterruption(io, (signal) => copyDatabase(handle, unfinished, io, signal))
    const { size } = statSync(unfinished)
    // Check again, because another program may have made the file meanwhile.
    checkTarget(file, handle.name, overwrite)
    if (!overwrite) {
      // This fails if another program makes the file right now.
      writeFileSync(file, '', { flag: 'wx' })
      filesToRemove.push(file)
    }
    renameSync(unfinished, file)
    // SQLite has synced the content. This sync makes the new name durable too.
    appendFileSync(file, Buffer.of(), { flush: true })
    return size
  } catch (error) {
    removeFiles(filesToRemove)
    if (error instanceof CommandError) throw error
    // Node.js adds a comma and the name of the unfinished copy, which means nothing to the user.
    const [reason = ''] = (error as Error).message.split(',')
    throw new CommandError(`The file ${file} cannot be written: ${reason}`, { cause: error })
  }
}

/** Copies with SQLite's online backup, and shows its progress. */
async function copyDatabase (handle: FileHandle, file: string, io: Io, signal: AbortSignal): Promise<void> {
  const status = createStatus(io)
  const percentStep = io.stderr.isTTY === true ? 1 : 10
  let shownPercent = 0
  try {
    await handle.backup(file, {
      progress: ({ totalPages, remainingPages }) => {
        if (signal.aborted) throw new CommandError('Interrupted: there is no copy')
        const percent = Math.floor((1 - remainingPages / totalPages) * 100 / percentStep) * percentStep
        if (percent !== shownPercent) status.show(`backup: ${percent} %`)
        shownPercent = percent
        return pagesPerBackupStep
      }
    })
  } finally {
    status.clear()
  }
}

function checkTarget (file: string, source: string, overwrite: boolean): void {
  const target = statSync(file, { throwIfNoEntry: false })
  const { dev, ino } = statSync(source)
  if (target?.isDirectory()) throw new CommandError(`${file} is a folder: name a file in it`)
  // The user root could replace a device such as /dev/null.
  if (target?.isFile() === false) throw new CommandError(`${file} is a device or a pipe: name a file for the copy`)
  if (target?.dev === dev && target.ino === ino) throw new CommandError(`${file} is the database itself: name another file for the copy`)
  if (target !== undefined && !overwrite) throw new CommandError(`${file} exists already: name another file, or replace it with --overwrite`)
  // SQLite would apply the log or the journal of the old database to the copy.
  if (['-wal', '-journal'].some((ending) => existsSync(`${file}${ending}`))) throw new CommandError(`${file} is a database in use: name another file for the copy`)
}

/** Reports the files of killed backups. Does not remove them, because a backup that is still running may own them. */
function reportUnfinishedCopies (unfinished: string, io: Io): void {
  const folder = dirname(unfinished)
  const others = readdirSync(folder).filter((name) => /\.[\da-f]{8}\.part$/.test(name) && name !== basename(unfinished))
  for (const name of others) report(io, `There is an unfinished copy ${join(folder, name)}: remove it unless another backup is running`)
}
