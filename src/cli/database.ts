// Opens the database of a command. The libraries are imported only then, because --help and --version work without them.

import { Option } from '@commander-js/extra-typings'
import { accessSync, constants, existsSync, realpathSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { Tables } from '../store/tables.js'
import { CommandError, UsageError, codeOf, explainFileError } from './errors.js'
import type { OpenFile } from './open-node-sqlite.js'
import { isServer, readServer, withServer } from './postgres.js'
import { lockTimeoutMs, migrateOrCheck, type Access, type FileHandle, type Io, type OpenDatabase } from './shared.js'

/** The option --database of commands that work with a file or a server. */
export function databaseOption () {
  return newDatabaseOption('the SQLite database, or a server as postgres://user@host/name')
    .argParser((name) => isServer(name) ? readServer(name) : readFileName(name.trim()))
}

/** The option --database of commands that only work with a file. */
export function fileOption () {
  return newDatabaseOption('the SQLite database').argParser((name) => readFileName(name.trim()))
}

export function readFileName (name: string): string {
  // SQLite would take it for the log or journal of another database, apply it and delete it.
  if (/-(?:wal|shm|journal)$/.test(name)) throw new UsageError(`${name} is a name that SQLite uses for its own files: name another file`)
  if (!isServer(name)) return name
  // Without the name, because it may hold a password.
  throw new UsageError('This command needs a file and not a server. pg_dump backs up PostgreSQL. ' +
    'To import into PostgreSQL, import into a file, then run the command copy')
}

// The parsers above trim the name, as better-sqlite3 does.
function newDatabaseOption (description: string) {
  return new Option('--database <FILE>', description).env('OMNICHANNEL_DATABASE').default('omnichannel.db')
}

/** The option --create. A command that has it creates a missing file in any case. */
export function createOption () {
  return new Option('--create', 'add the tables to a file that has only other tables')
}

/** The access of a command that has the option --create. */
export function accessFor ({ create }: { create?: boolean }): Access {
  return create ? 'add-tables' : 'create'
}

/** Opens a file or a server, runs `work` and closes it. */
export async function withDatabase<Result> (
  name: string, io: Io, access: Access, work: (database: OpenDatabase) => Promise<Result>
): Promise<Result> {
  if (isServer(name)) return await withServer(name, access, work)
  return await withFile(name, access, async () => {
    const handle = await openDatabase(name, io, access)
    try {
      const [{ Kysely, SqliteDialect }, { toKyselyDatabase }, sqlite, { overwriteFailedCommit }] = await Promise.all([
        import('kysely'), import('./open-node-sqlite.js'), import('../store/sqlite/node-sqlite.js'), import('../store/sqlite/connection.js')
      ])
      const dialect = new SqliteDialect({ database: toKyselyDatabase(handle) })
      const driver = dialect.createDriver()
      const rollback = driver.rollbackTransaction.bind(driver)
      // After some errors, such as a full disk, SQLite has rolled back by itself. Kysely's ROLLBACK then fails and would hide the first error.
      driver.rollbackTransaction = async (connection) => { await rollback(connection).catch(() => undefined) }
      const db = new Kysely<Tables>({ dialect: Object.assign(dialect, { createDriver: () => driver }) })
      const ping = (): Promise<unknown> => Promise.resolve(handle.prepare('SELECT max(id) FROM omnichannel_migration').get())
      return await work({ name, db, handle, ping }).catch((error: unknown) => {
        const hasDiskFailed = /^SQLITE_(IOERR|FULL)/.test(codeOf(error))
        if (hasDiskFailed && access !== 'read') overwriteFailedCommit(sqlite.connect(handle))
        throw error
      })
    } finally {
      handle.close()
    }
  })
}

/** Runs `work`, which opens and closes a file. Turns errors of the file into sentences. Creates a missing file, if `access` allows it. */
export async function withFile<Result> (file: string, access: Access, work: () => Promise<Result>): Promise<Result> {
  const isNew = mayCreate(access) && file !== ':memory:' && createFile(file)
  try {
    return await work()
  } catch (error) {
    // Remove a new file. A log beside it means that another program has it open: the last connection that closes removes the log.
    if (isNew && !existsSync(`${file}-wal`)) removeFiles([file, `${file}-journal`])
    throw explainFileError(file, error as Error)
  }
}

/** Removes files after an error. Does not throw, because that would hide the first error. */
export function removeFiles (files: string[]): void {
  for (const file of files) {
    try {
      rmSync(file, { force: true })
    } catch {
      // A disk that fails may keep the file.
    }
  }
}

/** Creates an empty file. Returns whether it is new. */
function createFile (file: string): boolean {
  try {
    writeFileSync(file, '', { flag: 'wx' })
    return true
  } catch {
    // The file exists, or SQLite will report what is wrong.
    return false
  }
}

/** Opens a file, and migrates it or checks its schema, unless `anyVersion`. Refuses a file without our tables, unless `access` creates them. */
export async function openDatabase (file: string, io: Io, access: Access, { anyVersion = false } = {}): Promise<FileHandle> {
  const exists = existsSync(file)
  if (!exists && !mayCreate(access)) throw new CommandError(`There is no database file ${file}: name another, or make one with the command migrate`)
  const database = await openUnchecked(file, io, access)
  try {
    // Fails before SQLite creates a log beside a read-only file, and leaves it there.
    if (exists && mayCreate(access)) accessSync(file, constants.W_OK)
    const tables = tablesIn(database)
    if (tables === 'none' && !mayCreate(access)) throw new CommandError(`The database file ${file} is empty`)
    if (tables === 'others' && access !== 'add-tables') {
      throw new CommandError(`The database file ${file} has tables, but none of this program${access === 'create' ? ': --create adds them' : ''}`)
    }
    if (anyVersion) return database
    const migrate = access !== 'read' && access !== 'rehearse'
    if (migrate) setPragmas(database, file)
    await migrateOrCheck(database, file, migrate)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function setPragmas (database: FileHandle, file: string): void {
  // In WAL mode, less than FULL may lose the last commits in a power failure. A 200 promises that they are kept.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
  // SQLite moves the log into the file when it has 10,000 pages (41 MB), ten times the default. A page that changed several times is moved
  // once (bench/README.md has the figures). On a small disk the log may use a quarter of the free space, because moving it takes space too.
  const pageBytes = 4096 // SQLite's default
  const { bavail: freeBlocks, bsize: blockBytes } = statfsSync(dirname(file))
  const pages = Math.max(1, Math.min(10_000, Math.floor(freeBlocks * blockBytes / 4 / pageBytes)))
  // A reader can make the log longer. SQLite cuts it to journal_size_limit when it starts the log again.
  database.exec(`PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = ${pages * pageBytes}`)
}

function mayCreate (access: Access): boolean {
  return access === 'create' || access === 'add-tables'
}

/** Finds whose tables and views a file has. */
export function tablesIn (database: FileHandle): 'ours' | 'others' | 'none' {
  const objects = database.prepare('SELECT name FROM sqlite_schema').all() as Array<{ name: string }>
  if (objects.some(({ name }) => name.startsWith('omnichannel_'))) return 'ours'
  return objects.length === 0 ? 'none' : 'others'
}

/** Opens a file. Does not look at its tables. */
export async function openUnchecked (file: string, io: Io, access: Access): Promise<FileHandle> {
  const { loadNodeSqlite } = await import('./open-node-sqlite.js')
  // The single executable has an addon only if its Node.js has no suitable node:sqlite.
  const open = (io.loadAddon === undefined ? loadNodeSqlite() : undefined) ?? await loadBetterSqlite3(io)
  // A command that only reads must leave the folder as it is. If there is a log, it opens the file read-only, because a connection that can
  // write moves the log into the file when it closes. If there is none, it does not, because a read-only connection leaves a log behind.
  // The log of a file that a link names is beside the file. node:sqlite would read a relative name such as file:a.db as a URI.
  const path = existsSync(file) ? realpathSync(file) : resolve(file)
  const readonly = access === 'read' && existsSync(`${path}-wal`)
  return open(file === ':memory:' ? file : path, { timeout: lockTimeoutMs, readonly })
}

async function loadBetterSqlite3 ({ loadAddon }: Io): Promise<OpenFile> {
  const { default: Sqlite } = await import('better-sqlite3')
  try {
    // better-sqlite3 also takes a loaded addon; its types know only a path.
    const nativeBinding = loadAddon?.() as string | undefined
    return (file, options) => new Sqlite(file, { ...options, ...nativeBinding !== undefined && { nativeBinding } })
  } catch (error) {
    const reason = (error as Error).message
    throw new CommandError(`The SQLite addon cannot be loaded from the temporary folder ${tmpdir()} (${reason}): name another in the variable TMPDIR`)
  }
}
