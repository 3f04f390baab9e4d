import type { Command } from '@commander-js/extra-typings'
import { existsSync } from 'node:fs'
import type { Pending } from '../store/required-tables.js'
import { accessFor, createOption, databaseOption, openDatabase, openUnchecked, withFile } from './database.js'
import { print } from './output.js'
import { isServer, withPool } from './postgres.js'
import { isFileHandle, migrateOrCheck, type Handle, type Io } from './shared.js'

export function migrate (program: Command, io: Io): void {
  program.command('migrate')
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
      if (isServer(database)) return await withPool(database, (pool, name) => run(pool, name, io))
      const access = options.print ? 'read' : accessFor(options)
      await withFile(database, access, async () => {
        // For a missing file, print the script that creates all tables.
        const printedFile = existsSync(database) ? database : ':memory:'
        const handle = await (options.print ? openUnchecked(printedFile, io, access) : openDatabase(database, io, access, { anyVersion: true }))
        try {
          await run(handle, database, io)
        } finally {
          handle.close()
        }
      })
    })
}

async function bringUpToDate (handle: Handle, name: string, io: Io): Promise<void> {
  const { version: from, script } = await findPending(handle)
  await migrateOrCheck(handle, name, true)
  const { version: to } = await findPending(handle)
  if (from < to) print(io, `Migrated ${name} from schema version ${from} to ${to}\n`)
  else print(io, `${name} ${script === '' ? 'is up to date' : 'was repaired'}: schema version ${to}\n`)
}

async function printScript (handle: Handle, _name: string, io: Io): Promise<void> {
  const { migrationLock } = await import('../store/postgres/migrations.js')
  const { version, script } = await findPending(handle)
  const begin = isFileHandle(handle) ? 'BEGIN IMMEDIATE;' : `BEGIN;\n${migrationLock}`
  print(io, script === ''
    ? `-- Nothing is to be done: the database has schema version ${version}.\n`
    : `-- Brings a database of schema version ${version} up to date.\n${begin}\n\n${script}\n\nCOMMIT;\n`)
}

async function findPending (handle: Handle): Promise<Pending> {
  const [{ connect }, sqlite, postgres] = await Promise.all([
    import('../store/sqlite/node-sqlite.js'), import('../store/sqlite/migrations.js'), import('../store/postgres/migrations.js')
  ])
  return isFileHandle(handle) ? sqlite.findPending(connect(handle)) : await postgres.findPending(handle)
}
