import type Database from 'better-sqlite3'
import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import type { OmnichannelContactsOptions } from '../options.js'
import type { Io } from './command.js'
import { explain } from './errors.js'
import { connect, connectToRead, createOption, databaseOption, openFile, withNewFile } from './database.js'
import { isServer, withPool } from './postgres.js'
import { print } from './output.js'

interface Options {
  database: string
  create?: boolean
  print?: boolean
}

export function migrate (parent: Command, io: Io): void {
  parent.command('migrate')
    .summary('Bring a database up to date, or print the SQL that does it')
    .description('Bring a database up to date, in one transaction: make its tables, or add what a newer version of the package needs.\n\n' +
      'Commands that change something do it too when they open a database, and so does a plugin with migrate: true. The SQL of --print is for ' +
      'sqlite3 -bail, or for psql -v ON_ERROR_STOP=1 with the search_path of the plugin.')
    .addOption(databaseOption())
    .addOption(createOption())
    .option('--print', 'print the SQL that is still to run, and change nothing')
    .action(async ({ database, create, print: printOnly }: Options) => {
      const run = (target: Target): Promise<void> => printOnly ? printScript(target, io) : bringUpToDate(target, io)
      if (isServer(database)) await onServer(database, run)
      else if (printOnly) await inFile(database, () => openToPrint(database, io), run)
      else await withNewFile(database, () => inFile(database, () => openFile(database, io, create ? 'add' : 'create'), run))
    })
}

/** A database that is opened as it is. */
interface Target {
  name: string
  handle: OmnichannelContactsOptions['database']
  version: () => Promise<number> | number
  pendingScript: () => Promise<string> | string
  /** The start of a transaction for which others wait. */
  begin: string
}

async function bringUpToDate ({ name, handle, version, pendingScript }: Target, io: Io): Promise<void> {
  const [{ openStore }, { checkOptions }] = await Promise.all([import('../store/open-store.js'), import('../options.js')])
  const from = await version()
  const isUpToDate = await pendingScript() === ''
  await openStore(handle, () => undefined).migrate(checkOptions({ database: handle }))
  const to = await version()
  if (from < to) print(io, `Migrated ${name} from schema version ${from} to ${to}\n`)
  else print(io, `${name} ${isUpToDate ? 'is up to date' : 'was repaired'}: schema version ${to}\n`)
}

async function printScript ({ version, pendingScript, begin }: Target, io: Io): Promise<void> {
  const script = await pendingScript()
  const from = await version()
  print(io, script === ''
    ? `-- Nothing is to be done: the database has schema version ${from}.\n`
    : `-- Brings a database of schema version ${from} up to date.\n${begin}\n\n${script}\n\nCOMMIT;\n`)
}

/** Whatever it holds. Where there is no file, what a new one would need. */
async function openToPrint (file: string, io: Io): Promise<Database.Database> {
  return existsSync(file) ? await connectToRead(file, io) : await connect(':memory:', io)
}

async function inFile (file: string, open: () => Promise<Database.Database>, run: (target: Target) => Promise<void>): Promise<void> {
  const [{ connectBetterSqlite3 }, { pendingScript, schemaVersion }] = await Promise.all([
    import('../store/sqlite/better-sqlite3.js'), import('../store/sqlite/migrations.js')
  ])
  const handle = await open()
  const connection = connectBetterSqlite3(handle)
  try {
    await run({
      name: file,
      handle,
      version: () => schemaVersion(connection),
      pendingScript: () => pendingScript(connection),
      begin: 'BEGIN IMMEDIATE;'
    })
  } catch (error) {
    throw explain(file, error as Error)
  } finally {
    handle.close()
  }
}

async function onServer (url: string, run: (target: Target) => Promise<void>): Promise<void> {
  const { lockNodes, pendingScript, schemaVersion } = await import('../store/postgres/migrations.js')
  await withPool(url, async (pool, name) => {
    await run({
      name,
      handle: pool,
      version: () => schemaVersion(pool),
      pendingScript: () => pendingScript(pool),
      begin: `BEGIN;\n${lockNodes}`
    })
  })
}
