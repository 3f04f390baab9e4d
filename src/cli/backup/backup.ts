import type Database from 'better-sqlite3'
import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'
import { explain } from '../explain.js'
import { withInterruption } from '../interruption.js'
import { fileOption, openFile } from '../open-database.js'
import { copyDatabase } from './copy-database.js'
import { intoPlace } from './into-place.js'

interface Options {
  database: string
  overwrite?: boolean
}

export function backup (parent: Command, io: Io): void {
  parent.command('backup')
    .summary('Copy the database to a file, also while it is served')
    .description('Copy the database to a file, also while it is served.\n\n' +
      'The copy is the database as it was when the backup began. It appears when it is complete, with the permissions of the ' +
      'original; a backup that fails or is stopped leaves nothing behind.')
    .argument('<FILE>', 'the copy')
    .addOption(fileOption())
    .option('--overwrite', 'replace FILE where it exists')
    .action(async (file: string, { database, overwrite = false }: Options) => {
      const handle = await openSnapshot(database, io)
      try {
        const bytes = await intoPlace(file, { like: database, overwrite }, (unfinished) =>
          withInterruption(io, (signal) => copyDatabase(handle, unfinished, io, signal)))
        io.stdout.write(`Copied ${database} to ${file}, ${(bytes / 1e6).toFixed(1)} MB\n`)
      } finally {
        handle.close()
      }
    })
}

/**
 * In a transaction that has read. Otherwise the copying would start again at every write of somebody else, and never end
 * while a server is busy.
 */
async function openSnapshot (file: string, io: Io): Promise<Database.Database> {
  if (!existsSync(file)) throw new CommandError(`There is no database file ${file}: name it with --database`)
  const handle = await openFile(file, io)
  try {
    handle.exec('BEGIN')
    handle.prepare('SELECT 1 FROM sqlite_schema').get()
    return handle
  } catch (error) {
    handle.close()
    throw explain(file, error as Error)
  }
}
