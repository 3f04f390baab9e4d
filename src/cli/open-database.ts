import type Database from 'better-sqlite3'
import { InvalidArgumentError, Option } from 'commander'
import type { Kysely } from 'kysely'
import { accessSync, closeSync, constants, existsSync, openSync, rmSync } from 'node:fs'
import type { Tables } from '../store/tables.js'
import type { Io } from './command.js'
import { CommandError } from './errors.js'
import { explain, explainUnpacking } from './explain.js'

// What opens a database is loaded only then: --help and --version answer without it.

export function databaseOption (): Option {
  return new Option('--database <FILE>', 'the SQLite database')
    .env('OMNICHANNEL_DATABASE')
    .default('omnichannel.db')
    .argParser((file) => {
      // SQLite would take no name for a database that is gone when it is closed, and better-sqlite3 trims.
      if (file.trim() === '') throw new InvalidArgumentError('It must name a file')
      return file.trim()
    })
}

type Work<Result> = (db: Kysely<Tables>, handle: Database.Database) => Promise<Result>

/** Opens, runs and closes. The file must exist. */
export async function withDatabase<Result> (file: string, io: Io, work: Work<Result>): Promise<Result> {
  if (!existsSync(file)) throw new CommandError(`There is no database file ${file}: name it with --database`)
  try {
    return await use(file, io, work)
  } catch (error) {
    throw explain(file, error as Error)
  }
}

/** The same, with a new file where there is none. When the work fails the new file goes, unless somebody else has opened it. */
export async function withNewDatabase<Result> (file: string, io: Io, work: Work<Result>): Promise<Result> {
  const isNew = file !== ':memory:' && createEmpty(file)
  try {
    // Asked before SQLite is, which leaves its log beside a file that it may only read.
    if (existsSync(file)) accessSync(file, constants.W_OK)
    return await use(file, io, work)
  } catch (error) {
    // SQLite removes its log with the last connection.
    if (isNew && !existsSync(`${file}-wal`)) rmSync(file, { force: true })
    throw explain(file, error as Error)
  }
}

function createEmpty (file: string): boolean {
  try {
    closeSync(openSync(file, 'wx'))
    return true
  } catch {
    // It exists, or SQLite will find out what is wrong.
    return false
  }
}

async function use<Result> (file: string, io: Io, work: Work<Result>): Promise<Result> {
  const handle = await openDatabase(file, io)
  try {
    const { Kysely, SqliteDialect } = await import('kysely')
    return await work(new Kysely<Tables>({ dialect: new SqliteDialect({ database: handle }) }), handle)
  } finally {
    handle.close()
  }
}

/**
 * Opens a database file as its only host and brings it to schema.sql.
 *
 * @throws {CommandError}
 */
export async function openDatabase (file: string, io: Io): Promise<Database.Database> {
  const [{ sqliteStore }, { checkOptions }] = await Promise.all([import('../store/sqlite/sqlite-store.js'), import('../options.js')])
  const database = await openFile(file, io)
  try {
    database.pragma('journal_mode = WAL')
    // In WAL mode less than FULL may lose the last commits with the power, and a 200 says committed.
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    await sqliteStore(database).migrate(checkOptions({ database }))
    return database
  } catch (error) {
    database.close()
    throw explain(file, error as Error)
  }
}

/**
 * Opens a database file as it is.
 *
 * @throws {CommandError}
 */
export async function openFile (file: string, io: Io): Promise<Database.Database> {
  const { default: Sqlite } = await import('better-sqlite3')
  const addon = unpackAddon(io)
  try {
    // better-sqlite3 takes the loaded addon as well; its types know only of a path.
    return new Sqlite(file, { timeout: 5000, ...addon !== undefined && { nativeBinding: addon as unknown as string } })
  } catch (error) {
    throw explain(file, error as Error)
  }
}

function unpackAddon (io: Io): object | undefined {
  try {
    return io.embedded?.sqlite
  } catch (error) {
    throw new CommandError(explainUnpacking(error as Error), { cause: error })
  }
}
