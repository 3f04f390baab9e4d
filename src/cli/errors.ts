// The errors of the commands, and errors of a database file as sentences.

import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** The message is a sentence for the terminal. */
export class CommandError extends Error {
  readonly exitCode: number = 1
}

/** The command line is wrong. */
export class UsageError extends CommandError {
  override readonly exitCode = 2
}

// https://sqlite.org/rescode.html
const sqliteCodes: Record<number, string> = {
  5: 'SQLITE_BUSY',
  8: 'SQLITE_READONLY',
  10: 'SQLITE_IOERR',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  19: 'SQLITE_CONSTRAINT',
  26: 'SQLITE_NOTADB',
  1811: 'SQLITE_CONSTRAINT_TRIGGER'
}

/** The code of an error. A number of node:sqlite gets better-sqlite3's name. An unlisted number gets the name of its lowest byte. */
export function codeOf (error: unknown): string {
  const { code = '', errcode } = error as { code?: string, errcode?: number }
  return errcode === undefined ? code : sqliteCodes[errcode] ?? sqliteCodes[errcode & 0xff] ?? 'SQLITE_ERROR'
}

const reasons: Array<[code: RegExp, reason: string]> = [
  [/^SQLITE_NOTADB/, 'is not a SQLite database'],
  [/^(SQLITE_READONLY|EACCES|EPERM|EROFS)/, 'cannot be written: it or its folder is read-only'],
  [/^SQLITE_CANTOPEN/, 'cannot be opened for reading and writing'],
  [/^(SQLITE_BUSY|FOC_DATABASE_BUSY)/, 'is locked by another program']
]

/** Turns an error of a database file into a sentence. Other errors are returned as they are. */
export function explainFileError (file: string, error: Error): Error {
  if (error instanceof CommandError) return error
  const code = codeOf(error)
  const withSentence = (sentence: string): CommandError => new CommandError(sentence, { cause: error })
  if (!existsSync(dirname(file))) return withSentence(`The database file ${file} cannot be created, because its folder does not exist`)
  if (code === 'ERR_DLOPEN_FAILED' || /bindings file|better_sqlite3\.node/.test(error.message)) {
    // The rest of the message lists paths.
    const [problem = ''] = error.message.split(/\. Tried|\n/)
    return withSentence(`The SQLite addon cannot be loaded (${problem}): npm rebuild better-sqlite3 makes it anew`)
  }
  const [, reason] = reasons.find(([pattern]) => pattern.test(code)) ?? []
  if (reason === undefined && !/^(SQLITE|FOC)_/.test(code)) return error
  const isFolder = statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
  return withSentence(`The database file ${file} ${isFolder ? 'is a folder' : reason ?? `cannot be used: ${error.message}`}`)
}
