// The errors of the commands, and errors of a database file as sentences.

import { statSync } from 'node:fs'
import { constants } from 'node:os'

/** The message is a sentence for the terminal. */
export class CommandError extends Error {
  readonly exitCode: number = 1
}

/** The command line is wrong. */
export class UsageError extends CommandError {
  override readonly exitCode = 2
}

/** A signal ended the command. The exit code is the one of shells. */
export class InterruptedError extends CommandError {
  override readonly exitCode: number

  constructor (message: string, { reason }: AbortSignal) {
    super(message)
    this.exitCode = 128 + constants.signals[reason as NodeJS.Signals]
  }
}

const reasons: Array<[code: RegExp, reason: string]> = [
  [/^SQLITE_NOTADB/, 'is not a SQLite database'],
  [/^(SQLITE_READONLY|EACCES|EPERM|EROFS)/, 'cannot be written: it or its folder is read-only'],
  [/^SQLITE_CANTOPEN/, 'cannot be opened for reading and writing'],
  [/^(SQLITE_BUSY|FOC_DATABASE_BUSY)/, 'is locked by another program']
]

/** Turns an error of a database file into a sentence. Other errors are returned as they are. */
export function explain (file: string, error: Error): Error {
  const sentence = error instanceof CommandError ? undefined : describe(file, error)
  return sentence === undefined ? error : new CommandError(sentence, { cause: error })
}

function describe (file: string, { code = '', message }: NodeJS.ErrnoException): string | undefined {
  // better-sqlite3 looks for the folder itself, and its error has no code.
  if (message.includes('directory does not exist')) return `The database file ${file} cannot be created, because its folder does not exist`
  if (code === 'ERR_DLOPEN_FAILED' || /bindings file|better_sqlite3\.node/.test(message)) {
    const [first = ''] = message.split(/\. Tried|\n/)
    return `The SQLite addon cannot be loaded (${first}): npm rebuild better-sqlite3 makes it anew`
  }
  const [, reason] = reasons.find(([pattern]) => pattern.test(code)) ?? []
  if (reason === undefined && !/^(SQLITE|FOC)_/.test(code)) return undefined
  return `The database file ${file} ${isFolder(file) ? 'is a folder' : reason ?? `cannot be used: ${message}`}`
}

function isFolder (file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
}

/** For commands that do not migrate. */
export function explainOldSchema (name: string, error: Error): Error {
  if ((error as NodeJS.ErrnoException).code !== 'FOC_INCOMPLETE_SCHEMA') return error
  const [lack = ''] = error.message.split('. ')
  return new CommandError(`${lack}: the command migrate brings ${name} up to date`, { cause: error })
}

/** npm and pnpm install peer dependencies, other package managers may not. */
export function explainMissingPackage ({ message }: Error): string | undefined {
  const [, name] = /^Cannot find package '([^']*)'/.exec(message) ?? []
  return name === undefined ? undefined : `The package ${name} is missing: npm install ${name}`
}
