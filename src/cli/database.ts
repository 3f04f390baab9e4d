import type Database from 'better-sqlite3'
import { Option } from 'commander'
import { accessSync, closeSync, constants, existsSync, openSync, rmSync } from 'node:fs'
import type { Tables } from '../store/tables.js'
import type { Access, Io, Work } from './command.js'
import { CommandError, UsageError, explain, explainOldSchema, explainUnpacking } from './errors.js'
import { isServer, readServer, withServer } from './postgres.js'

// What opens a database is loaded only then: --help and --version answer without it.

export function databaseOption (): Option {
  return option('the SQLite database, or a server as postgres://user@host/name').argParser((name) => isServer(name) ? readServer(name) : name.trim())
}

/** For commands that take a file only. */
export function fileOption (): Option {
  return option('the SQLite database').argParser((name) => readFileName(name.trim()))
}

/** @throws {UsageError} which does not repeat the name: it may hold a password */
export function readFileName (name: string): string {
  if (!isServer(name)) return name
  throw new UsageError('A server cannot be used here, it must name a file: of PostgreSQL pg_dump makes a backup, and ' +
    'what was imported into a file is moved there by copy')
}

// better-sqlite3 trims names too.
function option (description: string): Option {
  return new Option('--database <FILE>', description).env('OMNICHANNEL_DATABASE').default('omnichannel.db')
}

/** For commands that make a new file where there is none. */
export function createOption (): Option {
  return new Option('--create', 'add the tables to a file that has only tables of others')
}

/** Opens, brings the schema up to date, runs and closes. The database must exist. */
export async function withDatabase<Result> (name: string, io: Io, work: Work<Result>): Promise<Result> {
  return await open(name, io, 'change', work)
}

/** Opens, checks the schema, runs and closes. Nothing is written. */
export async function readDatabase<Result> (name: string, io: Io, work: Work<Result>): Promise<Result> {
  return await open(name, io, 'read', work)
}

async function open<Result> (name: string, io: Io, access: Access, work: Work<Result>): Promise<Result> {
  if (isServer(name)) return await withServer(name, access, work)
  try {
    return await use(name, io, access, work)
  } catch (error) {
    throw explain(name, error as Error)
  }
}

/** As withDatabase, but makes a new file where there is none, as withNewFile does. */
export async function withNewDatabase<Result> (name: string, io: Io, work: Work<Result>, { create = false } = {}): Promise<Result> {
  if (isServer(name)) return await withServer(name, 'create', work)
  return await withNewFile(name, () => use(name, io, create ? 'add' : 'create', work))
}

/** Makes a new file where there is none. It is removed when the work fails, unless another program has opened it. */
export async function withNewFile<Result> (file: string, work: () => Promise<Result>): Promise<Result> {
  const isNew = createFile(file)
  try {
    return await work()
  } catch (error) {
    // SQLite removes its log with the last connection.
    if (isNew && !existsSync(`${file}-wal`)) rmSync(file, { force: true })
    throw explain(file, error as Error)
  }
}

/** Returns whether there is a new file. It holds tokens and contacts, so it is private; SQLite gives its log the same mode. */
function createFile (file: string): boolean {
  if (file === ':memory:') return false
  try {
    closeSync(openSync(file, 'wx', 0o600))
    return true
  } catch {
    // It exists, or SQLite will find out what is wrong.
    return false
  }
}

async function use<Result> (file: string, io: Io, access: Access, work: Work<Result>): Promise<Result> {
  const handle = await openDatabase(file, io, access)
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
 * Opens a database file and brings it to schema.sql, or only checks it.
 *
 * @throws {CommandError} also when the file holds something else
 */
export async function openDatabase (file: string, io: Io, access: Access): Promise<Database.Database> {
  const [{ sqliteStore }, { checkOptions }] = await Promise.all([import('../store/sqlite/store.js'), import('../options.js')])
  const database = await openFile(file, io, access)
  try {
    if (migrates(access)) setPragmas(database)
    await sqliteStore(database).migrate(checkOptions({ database, migrate: migrates(access) }))
    return database
  } catch (error) {
    database.close()
    throw explain(file, migrates(access) ? error as Error : explainOldSchema(file, error as Error))
  }
}

function migrates (access: Access): boolean {
  return access !== 'read' && access !== 'try'
}

function setPragmas (database: Database.Database): void {
  database.pragma('journal_mode = WAL')
  // In WAL mode less than FULL may lose the last commits with the power, and a 200 says committed.
  database.pragma('synchronous = FULL')
  database.pragma('foreign_keys = ON')
  // A log of up to 41 MB instead of 4: a page that changes again meanwhile is written once. bench/README.md says what it gains.
  database.pragma('wal_autocheckpoint = 10000')
}

/**
 * Opens a database file as it is, with the schema that it has.
 *
 * @throws {CommandError} also when the file holds something else
 */
export async function openFile (file: string, io: Io, access: Access): Promise<Database.Database> {
  const mayCreate = access === 'create' || access === 'add'
  if (!mayCreate && !existsSync(file)) throw new CommandError(`There is no database file ${file}: name it with --database`)
  // Asked before SQLite is, which leaves its log beside a file that it may only read.
  if (mayCreate && existsSync(file)) accessSync(file, constants.W_OK)
  const database = access === 'read' ? await connectToRead(file, io) : await connect(file, io)
  try {
    const held = holds(database)
    if (held === 'nothing' && !mayCreate) throw new CommandError(`The database file ${file} is empty`)
    if (held === 'others' && access !== 'add') {
      throw new CommandError(`The database file ${file} has tables, but none of this program${access === 'create' ? ': --create adds them' : ''}`)
    }
    return database
  } catch (error) {
    database.close()
    throw explain(file, error as Error)
  }
}

/** Whose tables and views are in a database. */
export function holds (database: Database.Database): 'ours' | 'others' | 'nothing' {
  const names = database.prepare<[], string>('SELECT name FROM sqlite_schema').pluck().all()
  if (names.some((name) => name.startsWith('omnichannel_'))) return 'ours'
  return names.length === 0 ? 'nothing' : 'others'
}

/** The last connection to close would move the log into the file, and one that only reads would leave a log behind where there is none. */
export async function connectToRead (file: string, io: Io): Promise<Database.Database> {
  return await connect(file, io, { readonly: existsSync(`${file}-wal`) })
}

/** @throws {CommandError} */
export async function connect (file: string, io: Io, options: Database.Options = {}): Promise<Database.Database> {
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
