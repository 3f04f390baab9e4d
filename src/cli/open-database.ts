import Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { checkOptions } from '../options.js'
import { sqliteStore } from '../store/sqlite/sqlite-store.js'
import type { Given, Io, Option } from './command.js'
import { CommandError } from './errors.js'

export const databaseOption: Option = {
  value: 'FILE', help: 'the SQLite database', env: 'OMNICHANNEL_DATABASE', default: 'omnichannel.db'
}

/** Opens, runs and closes, for commands that are over in a moment. The file must exist. */
export async function withDatabase<Result> (given: Given, io: Io, work: (database: Database.Database) => Result): Promise<Awaited<Result>> {
  const file = given.text('database') as string
  if (!existsSync(file)) throw new CommandError(`There is no database file ${file}: name it with --database`)
  const database = await openDatabase(file, io)
  try {
    return await work(database)
  } finally {
    database.close()
  }
}

/**
 * Opens a database file as its only host and brings it to schema.sql.
 *
 * @throws {CommandError}
 */
export async function openDatabase (file: string, io: Io): Promise<Database.Database> {
  let database: Database.Database | undefined
  try {
    database = new Database(file, options(io))
    database.pragma('journal_mode = WAL')
    // In WAL mode less than FULL may lose the last commits with the power, and a 200 says committed.
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    await sqliteStore(database).migrate(checkOptions({ database }))
    return database
  } catch (error) {
    database?.close()
    throw new CommandError(explain(file, error as Error), { cause: error })
  }
}

function options (io: Io): Database.Options {
  // better-sqlite3 takes the loaded addon as well; its types know only of a path.
  return { timeout: 5000, ...io.embedded && { nativeBinding: io.embedded.sqlite as unknown as string } }
}

const reasons: Array<[code: RegExp, reason: string]> = [
  [/^SQLITE_NOTADB/, 'is not a SQLite database'],
  [/^SQLITE_(CANTOPEN|READONLY)/, 'cannot be opened for writing'],
  [/^(SQLITE_BUSY|FOC_DATABASE_BUSY)/, 'is locked by another program'],
  // better-sqlite3 looks for the folder itself, and its error has no code.
  [/^$/, 'cannot be created, because its folder does not exist']
]

function explain (file: string, { code = '', message }: { code?: string, message: string }): string {
  const [, reason] = reasons.find(([pattern]) => pattern.test(code)) ?? ['', `cannot be used: ${message}`]
  return `The database file ${file} ${reason}`
}
