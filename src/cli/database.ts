// Opens the database of a command. Libraries are imported only then: --help and --version need none.

import { Option } from '@commander-js/extra-typings'
import { accessSync, constants, existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { Tables } from '../store/tables.js'
import { CommandError, UsageError, codeOf, explain } from './errors.js'
import type { Open } from './open-node-sqlite.js'
import { isServer, readServer, withServer } from './postgres.js'
import { migrateOrCheck, type Access, type FileHandle, type Io, type OpenDatabase } from './shared.js'

export function databaseOption () {
  return option('the SQLite database, or a server as postgres://user@host/name').argParser((name) => isServer(name) ? readServer(name) : name.trim())
}

/** For commands that only work with a file. */
export function fileOption () {
  return option('the SQLite database').argParser((name) => readFileName(name.trim()))
}

/** The error does not repeat the name: it may hold a password. */
export function readFileName (name: string): string {
  if (!isServer(name)) return name
  throw new UsageError('This command needs a file and not a server. pg_dump backs up PostgreSQL. ' +
    'To import into PostgreSQL, import into a file, then run the command copy')
}

// The parsers of both options above trim the name, as better-sqlite3 does.
function option (description: string) {
  return new Option('--database <FILE>', description).env('OMNICHANNEL_DATABASE').default('omnichannel.db')
}

/** For commands that make a missing file. They do so even without this option. */
export function createOption () {
  return new Option('--create', 'add the tables to a file that has only other tables')
}

/** The access of a command that makes a missing file. With --create it also adds its tables to a file that has others. */
export function accessFor ({ create }: { create?: boolean }): Access {
  return create ? 'add-tables' : 'create'
}

/** Opens a file or a server, runs `work` and closes. */
export async function withDatabase<Result> (
  name: string, io: Io, access: Access, work: (database: OpenDatabase) => Promise<Result>
): Promise<Result> {
  if (isServer(name)) return await withServer(name, access, work)
  return await withFile(name, access, async () => {
    const handle = await openDatabase(name, io, access)
    try {
      const [{ Kysely, SqliteDialect }, { likeBetterSqlite3 }, sqlite, { overwriteCommit }] = await Promise.all([
        import('kysely'), import('./open-node-sqlite.js'), import('../store/sqlite/node-sqlite.js'), import('../store/sqlite/connection.js')
      ])
      const dialect = new SqliteDialect({ database: likeBetterSqlite3(handle) })
      const driver = dialect.createDriver()
      const rollback = driver.rollbackTransaction.bind(driver)
      // SQLite rolls back itself after some errors, such as a full disk. The error of a second ROLLBACK would hide them.
      driver.rollbackTransaction = async (connection) => { await rollback(connection).catch(() => undefined) }
      const db = new Kysely<Tables>({ dialect: Object.assign(dialect, { createDriver: () => driver }) })
      const ping = (): Promise<unknown> => Promise.resolve(handle.prepare('SELECT max(id) FROM omnichannel_migration').get())
      return await work({ name, db, handle, ping }).catch((error: unknown) => {
        if (access !== 'read' && /^SQLITE_(IOERR|FULL)/.test(codeOf(error))) overwriteCommit(sqlite.connect(handle))
        throw error
      })
    } finally {
      handle.close()
    }
  })
}

/**
 * Runs work that opens a file and closes it. Errors of the file become sentences. If `access` creates a missing file, it is removed if the
 * work fails, unless another program has opened it.
 */
export async function withFile<Result> (file: string, access: Access, work: () => Promise<Result>): Promise<Result> {
  const isNew = mayCreate(access) && file !== ':memory:' && createFile(file)
  try {
    return await work()
  } catch (error) {
    // SQLite removes its log when the last connection closes. If there is one, another program has opened the file.
    if (isNew && !existsSync(`${file}-wal`)) removeFiles([file, `${file}-journal`])
    throw explain(file, error as Error)
  }
}

/** Removes files after an error. A disk that fails may keep them. That must not hide the first error. */
export function removeFiles (files: string[]): void {
  for (const file of files) {
    try {
      rmSync(file, { force: true })
    } catch {
      // The next command finds the file.
    }
  }
}

/** Makes an empty file, if there is none. */
function createFile (file: string): boolean {
  try {
    writeFileSync(file, '', { flag: 'wx' })
    return true
  } catch {
    // The file exists, or SQLite will report what is wrong.
    return false
  }
}

/**
 * Opens a database file, and migrates it or only checks its schema. A file without our tables is refused, unless `access` creates them.
 *
 * @param anyVersion leave the schema as it is
 */
export async function openDatabase (file: string, io: Io, access: Access, anyVersion = false): Promise<FileHandle> {
  const exists = existsSync(file)
  if (!exists && !mayCreate(access)) throw new CommandError(`There is no database file ${file}: name another, or make one with the command migrate`)
  const database = await openUnchecked(file, io, access)
  try {
    // Before SQLite writes: it would leave its log beside a file that is read-only.
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
  // How long the log gets before SQLite moves it into the file. 10,000 pages are 41 MB, ten times the default. A page that changes often
  // is then moved once (bench/README.md has the figures). On a small disk the log gets a quarter of the free space, because moving it
  // takes space too.
  const { bavail, bsize } = statfsSync(dirname(file))
  const pages = Math.max(1, Math.min(10_000, Math.floor(bavail * bsize / 4 / 4096)))
  // A reader can make the log longer. SQLite cuts it to journal_size_limit when it starts the log again.
  database.exec(`PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = ${pages * 4096}`)
}

function mayCreate (access: Access): boolean {
  return access === 'create' || access === 'add-tables'
}

/** Whose tables and views a file has. */
export function tablesIn (database: FileHandle): 'ours' | 'others' | 'none' {
  const objects = database.prepare('SELECT name FROM sqlite_schema').all() as Array<{ name: string }>
  if (objects.some(({ name }) => name.startsWith('omnichannel_'))) return 'ours'
  return objects.length === 0 ? 'none' : 'others'
}

/** Opens a file, whatever tables it has. */
export async function openUnchecked (file: string, io: Io, access: Access): Promise<FileHandle> {
  const { loadNodeSqlite } = await import('./open-node-sqlite.js')
  // An executable contains the addon if its Node.js has no suitable node:sqlite.
  const open = (io.loadAddon === undefined ? loadNodeSqlite() : undefined) ?? await loadBetterSqlite3(io)
  // If the file has a log, a connection that may write would move it into the file when it closes. If it has none, a read-only connection
  // would leave a new log behind.
  const readonly = access === 'read' && existsSync(`${file}-wal`)
  // node:sqlite takes a relative name that begins with file: for a URI.
  return open(file === ':memory:' ? file : resolve(file), { timeout: 5000, readonly })
}

async function loadBetterSqlite3 ({ loadAddon }: Io): Promise<Open> {
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
