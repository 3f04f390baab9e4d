import type { Command } from '@commander-js/extra-typings'
import { existsSync } from 'node:fs'
import type { OmnichannelContactsOptions } from '../options.js'
import type { Pending } from '../store/required-tables.js'
import type { FileHandle, Io } from './command.js'
import { connect, createAccess, createOption, databaseOption, openFile, openReadOnly, withNewFile } from './database.js'
import { explain } from './errors.js'
import { print } from './output.js'
import { isServer, withPool } from './postgres.js'

export function migrate (parent: Command, io: Io): void {
  parent.command('migrate')
    .summary('Bring a database up to date, or print the SQL that does it')
    .description('Bring a database up to date in one transaction: make its tables, or add what a newer version of the package needs.\n\n' +
      'A plugin with migrate: true does the same, and so do commands that write. The SQL of --print is for ' +
      'sqlite3 -bail, or for psql -v ON_ERROR_STOP=1 with the search_path of the plugin.')
    .addOption(databaseOption())
    .addOption(createOption())
    .option('--print', 'print the SQL that is still to run, and change nothing')
    .action(async (options) => {
      const { database } = options
      const run = options.print ? printScript : bringUpToDate
      if (isServer(database)) await onServer(database, (target) => run(target, io))
      else if (options.print) await onFile(database, await openToPrint(database, io), (target) => run(target, io))
      else {
        await withNewFile(database, async () => {
          await onFile(database, await openFile(database, io, createAccess(options)), (target) => run(target, io))
        })
      }
    })
}

/** A database of any schema version. */
interface Target {
  name: string
  handle: OmnichannelContactsOptions['database']
  findPending: () => Promise<Pending> | Pending
  /** Begins the transaction of a printed script, and locks. */
  begin: string
}

async function bringUpToDate ({ name, handle, findPending }: Target, io: Io): Promise<void> {
  const [{ openStore }, { checkOptions }] = await Promise.all([import('../store/open-store.js'), import('../options.js')])
  const { version: from, script } = await findPending()
  await openStore(handle, () => undefined).migrate(checkOptions({ database: handle }))
  const { version: to } = await findPending()
  if (from < to) print(io, `Migrated ${name} from schema version ${from} to ${to}\n`)
  else print(io, `${name} ${script === '' ? 'is up to date' : 'was repaired'}: schema version ${to}\n`)
}

async function printScript ({ findPending, begin }: Target, io: Io): Promise<void> {
  const { version, script } = await findPending()
  print(io, script === ''
    ? `-- Nothing is to be done: the database has schema version ${version}.\n`
    : `-- Brings a database of schema version ${version} up to date.\n${begin}\n\n${script}\n\nCOMMIT;\n`)
}

/** If there is no file, the script creates all tables. */
async function openToPrint (file: string, io: Io): Promise<FileHandle> {
  return existsSync(file) ? await openReadOnly(file, io) : await connect(':memory:', io)
}

async function onFile (name: string, handle: FileHandle, run: (target: Target) => Promise<void>): Promise<void> {
  try {
    const [{ connect }, { findPending }] = await Promise.all([import('../store/sqlite/node-sqlite.js'), import('../store/sqlite/migrations.js')])
    const connection = connect(handle)
    await run({ name, handle, findPending: () => findPending(connection), begin: 'BEGIN IMMEDIATE;' })
  } catch (error) {
    throw explain(name, error as Error)
  } finally {
    handle.close()
  }
}

async function onServer (url: string, run: (target: Target) => Promise<void>): Promise<void> {
  const { findPending, migrationLock } = await import('../store/postgres/migrations.js')
  await withPool(url, (pool, name) => run({ name, handle: pool, findPending: () => findPending(pool), begin: `BEGIN;\n${migrationLock}` }))
}
