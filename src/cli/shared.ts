// Types and functions that the commands share: the process, a database, parsers of options.

import type Database from 'better-sqlite3'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import type { Kysely } from 'kysely'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import type { Pool } from 'pg'
import type { SqliteHandle } from '../store/sqlite/handle.js'
import type { Tables } from '../store/tables.js'
import { CommandError } from './errors.js'

type Signal = 'SIGINT' | 'SIGTERM'

/** The parts of `process` that the commands use, so that tests can replace them. */
export interface Io {
  stdin: Readable & { fd?: number }
  stdout: Writable & { columns?: number }
  stderr: Writable & { isTTY?: boolean }
  on (name: Signal, listener: (name: Signal) => void): unknown
  off (name: Signal, listener: (name: Signal) => void): unknown
  /** Loads better-sqlite3's addon, in the single executable. */
  loadAddon?: () => object
  /** A file of the documentation page, packed with gzip. */
  readAsset: (name: string) => Buffer
  /** The program of the worker thread for checkpoints: its file, or its source text. Without it SQLite makes checkpoints on the event loop. */
  checkpointWorker?: URL | string
  /** Ends the process at once. */
  exit?: () => unknown
}

/**
 * What a command may do with a database:
 *
 * | access | |
 * |---|---|
 * | `read` | reads, and checks the schema |
 * | `rehearse` | writes in a transaction that is rolled back, and checks the schema |
 * | `change` | writes, and migrates the schema |
 * | `create` | as `change`; makes a missing file |
 * | `add-tables` | as `create`; also accepts a file that has only other tables |
 */
export type Access = 'read' | 'rehearse' | 'change' | 'create' | 'add-tables'

export const pagesPerBackupStep = 1000

/** The default of the plugin's option `lockTimeout`. */
export const lockTimeoutMs = 5000

/** An open database file, of better-sqlite3 or of node:sqlite. */
export type FileHandle = SqliteHandle & {
  name: string
  /** `progress` returns `pagesPerBackupStep`: how many pages better-sqlite3 copies next. node:sqlite ignores it. */
  backup: (file: string, options: { progress: (info: Database.BackupMetadata) => number }) => Promise<unknown>
  close: () => unknown
}

/** What the plugin takes as its option `database`. */
export type Handle = FileHandle | Pool

export interface OpenDatabase {
  /** Its name in messages, without a password. */
  name: string
  db: Kysely<Tables>
  handle: Handle
  /** Rejects if the database cannot be read. */
  ping: () => Promise<unknown>
}

export function isFileHandle (handle: Handle): handle is FileHandle {
  return 'exec' in handle
}

/** Migrates a database, or only checks its schema. */
export async function migrateOrCheck (handle: Handle, name: string, migrate: boolean): Promise<void> {
  const [{ openStore }, { checkOptions }] = await Promise.all([import('../store/open-store.js'), import('../options.js')])
  try {
    await openStore(handle, () => undefined).migrate(checkOptions({ database: handle, migrate }))
  } catch (error) {
    if (migrate || (error as NodeJS.ErrnoException).code !== 'FOC_INCOMPLETE_SCHEMA') throw error
    // The next sentence of the message is advice for hosts of the plugin.
    const [problem = ''] = (error as Error).message.split('. ')
    throw new CommandError(`${problem}: the command migrate brings ${name} up to date`, { cause: error })
  }
}

export function wholeNumber (from: number, to?: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (!/^\d+$/.test(text) || number < from || number > (to ?? Number.MAX_SAFE_INTEGER)) {
      throw new InvalidArgumentError(`It must be a whole number from ${from}${to === undefined ? '' : ` to ${to}`}`)
    }
    return number
  }
}

const signals: Signal[] = ['SIGINT', 'SIGTERM']

/** Calls `stop` at Ctrl-C or SIGTERM. Returns a function that removes the listeners. */
export function onSignal (io: Io, stop: (name: Signal) => void): () => void {
  for (const name of signals) io.on(name, stop)
  return () => { for (const name of signals) io.off(name, stop) }
}

/** npm repeats a Ctrl-C of the terminal within this time. */
const npmRepeatMs = 500

/**
 * Runs `work` with an AbortSignal that Ctrl-C and SIGTERM abort. If `work` then throws, the exit code is 128 plus the signal's number, as in
 * shells. From half a second after the signal on, another one ends the process at once.
 */
export async function withInterruption<Result> (io: Io, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController()
  const { signal } = controller
  const removeListeners = onSignal(io, (name) => {
    controller.abort(name)
    setTimeout(removeListeners, npmRepeatMs).unref()
  })
  try {
    return await work(signal)
  } catch (error) {
    throw signal.aborted ? Object.assign(error as Error, { exitCode: 128 + constants.signals[signal.reason as Signal] }) : error
  } finally {
    removeListeners()
  }
}

/** Whether a value is an ISO 8601 time with a zone. `Date` alone would read 30 February as 2 March, and a missing zone as the local one. */
export function isTime (value: unknown): value is string {
  const [, date = ''] = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.exec(String(value)) ?? []
  const midnight = new Date(date)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date)
}
