// The errors of the commands, and what went wrong with a database, in sentences for the person at the terminal.

import { statSync } from 'node:fs'
import { tmpdir } from 'node:os'

/** A sentence for the person at the terminal; the process ends with 1. */
export class CommandError extends Error {}

/** The command line itself is wrong; the process ends with 2. */
export class UsageError extends CommandError {}

/** A signal ended the command; the process ends with the number that shells give to that. */
export class InterruptedError extends CommandError {
  constructor (message: string, readonly signal: NodeJS.Signals) { super(message) }
}

interface Failure {
  code?: unknown
  message: string
}

const ofTheFile: Array<[pattern: RegExp, reason: string]> = [
  [/^SQLITE_NOTADB/, 'is not a SQLite database'],
  [/^(SQLITE_READONLY|EACCES|EPERM|EROFS)/, 'cannot be written: it or its folder is read-only'],
  [/^SQLITE_CANTOPEN/, 'cannot be opened for reading and writing'],
  [/^(SQLITE_BUSY|FOC_DATABASE_BUSY)/, 'is locked by another program']
]

/** An error that is none of the database's stays what it is. */
export function explain (file: string, error: Error): Error {
  if (error instanceof CommandError) return error
  const { code, message } = error as Failure
  const sentence = explainMissingFolder(file, message) ?? explainAddon(code, message) ?? explainFile(file, String(code), message)
  return sentence === undefined ? error : new CommandError(sentence, { cause: error })
}

/** For commands that do not migrate. */
export function explainOldSchema (name: string, error: Error): Error {
  if ((error as Failure).code !== 'FOC_INCOMPLETE_SCHEMA') return error
  const [lack = ''] = error.message.split('. ')
  return new CommandError(`${lack}: the command migrate brings ${name} up to date`, { cause: error })
}

/** better-sqlite3 looks for the folder itself, and its error has no code. */
function explainMissingFolder (file: string, message: string): string | undefined {
  if (!message.includes('directory does not exist')) return undefined
  return `The database file ${file} cannot be created, because its folder does not exist`
}

function explainAddon (code: unknown, message: string): string | undefined {
  const [first = ''] = message.split(/\. Tried|\n/)
  if (code !== 'ERR_DLOPEN_FAILED' && !/bindings file|better_sqlite3\.node/.test(first)) return undefined
  return `The SQLite addon cannot be loaded (${first}): npm rebuild better-sqlite3 makes it anew`
}

function explainFile (file: string, code: string, message: string): string | undefined {
  const [, reason] = ofTheFile.find(([pattern]) => pattern.test(code)) ?? []
  if (reason === undefined && !/^(SQLITE|FOC)_/.test(code)) return undefined
  return `The database file ${file} ${isFolder(file) ? 'is a folder' : reason ?? `cannot be used: ${message}`}`
}

function isFolder (file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
}

/** A single-file build writes its addon to the temporary folder, because the system loads one from a file only. */
export function explainUnpacking ({ message }: Failure): string {
  return `The SQLite addon cannot be loaded from the temporary folder ${tmpdir()} (${message}): name another in the variable TMPDIR`
}

/** npm and pnpm install peers by themselves, others do not. */
export function explainMissingPackage ({ message }: Error): string | undefined {
  const [, name] = /^Cannot find package '([^']*)'/.exec(message) ?? []
  return name === undefined ? undefined : `The package ${name} is missing: npm install ${name}`
}
