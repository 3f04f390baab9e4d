import type Database from 'better-sqlite3'
import { InvalidArgumentError, Option } from 'commander'
import { accessSync, closeSync, constants, existsSync, openSync, rmSync } from 'node:fs'
import type { Tables } from '../store/tables.js'
import type { Io, Work } from './command.js'
import { CommandError } from './errors.js'
import { explain, explainUnpacking } from './explain.js'
import { isServer, withServer } from './open-server.js'

// What opens a database is loaded only then: --help and --version answer without it.

export function databaseOption (): Option {
  return option('the SQLite database, or a server as postgres://user@host/name').argParser(readName)
}

/** For what is done with a file only. */
export function fileOption (): Option {
  return option('the SQLite database').argParser((name) => {
    if (isServer(name)) throw new InvalidArgumentError('It must name a file: of PostgreSQL pg_dump makes a backup, and what was imported into a file is moved there by copy')
    return readName(name)
  })
}

function option (description: string): Option {
  return new Option('--database <FILE>', description).env('OMNICHANNEL_DATABASE').default('omnichannel.db')
}

function readName (name: string): string {
  // SQLite would take no name for a database that is gone when it is closed, and better-sqlite3 trims.
  if (name.trim() === '') throw new InvalidArgumentError('It must name a file')
  return name.trim()
}

/** Opens, runs and closes. A file must exist. */
export async function withDatabase<Result> (name: string, io: Io, work: Work<Result>): Promise<Result> {
  if (isServer(name)) return await withServer(name, work)
  return await withFile(name, io, work)
}

/** The same, with a new file where there is none. */
export async function withNewDatabase<Result> (name: string, io: Io, work: Work<Result>): Promise<Result> {
  if (isServer(name)) return await withServer(name, work)
  return await withCreatedFile(name, () => use(name, io, work))
}

async function withFile<Result> (file: string, io: Io, work: Work<Result>): Promise<Result> {
  if (!existsSync(file)) throw new CommandError(`There is no database file ${file}: name it with --database`)
  try {
    return await use(file, io, work)
  } catch (error) {
    throw explain(file, error as Error)
  }
}

/** Creates a file where there is none. When the work fails a new file goes, unless somebody else has opened it. */
export async function withCreatedFile<Result> (file: string, work: () => Promise<Result>): Promise<Result> {
  const isNew = file !== ':memory:' && createEmpty(file)
  try {
    // Asked before SQLite is, which leaves its log beside a file that it may only read.
    if (existsSync(file)) accessSync(file, constants.W_OK)
    return await work()
  } catch (error) {
    // SQLite removes its log with the last connection.
    if (isNew && !existsSync(`${file}-wal`)) rmSync(file, { force: true })
    throw explain(file, error as Error)
  }
}

function createEmpty (file: string): boolean {
  try {
    closeSync(openSync(file, 'wx', 0o600))
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
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: handle }) })
    const ask = (): Promise<unknown> => Promise.resolve(handle.prepare('SELECT max(id) FROM omnichannel_migration').get())
    return await work(db, { name: file, db, handle, ask })
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
  const [{ sqliteStore }, { checkOptions }] = await Promise.all([import('../store/sqlite/store.js'), import('../options.js')])
  const database = await openFile(file, io)
  try {
    database.pragma('journal_mode = WAL')
    // In WAL mode less than FULL may lose the last commits with the power, and a 200 says committed.
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    // A log of up to 41 MB instead of 4: a page that changes again meanwhile is written once. bench/README.md says what it gains.
    database.pragma('wal_autocheckpoint = 10000')
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
export async function openFile (file: string, io: Io, options: Database.Options = {}): Promise<Database.Database> {
  const { default: Sqlite } = await import('better-sqlite3')
  const addon = unpackAddon(io)
  try {
    // better-sqlite3 takes the loaded addon as well; its types know only of a path.
    return new Sqlite(file, { timeout: 5000, ...options, ...addon !== undefined && { nativeBinding: addon as unknown as string } })
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
