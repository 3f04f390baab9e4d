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

/** What a command needs of its process. */
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
  /** The program of the worker thread for checkpoints: its file, or its text. Without it SQLite makes checkpoints on the event loop. */
  checkpointWorker?: URL | string
  /** Ends the process at once. */
  exit?: () => unknown
}

/**
 * What a command does with a database. `read` and `rehearse` only check the schema; the transaction of `rehearse` is rolled back.
 * `change` migrates. `create` also makes a new file. `add-tables` also accepts a file that has only other tables.
 */
export type Access = 'read' | 'rehearse' | 'change' | 'create' | 'add-tables'

/** An open database file, of better-sqlite3 or of node:sqlite. */
export type FileHandle = SqliteHandle & {
  name: string
  backup: (file: string, options: { progress: (info: Database.BackupMetadata) => number }) => Promise<unknown>
  close: () => unknown
}

export interface OpenDatabase {
  /** As messages show it, without a password. */
  name: string
  db: Kysely<Tables>
  /** The plugin's option `database`. */
  handle: FileHandle | Pool
  /** Rejects when the database does not answer. */
  ping: () => Promise<unknown>
}

/** Migrates a database, or only checks its schema. */
export async function migrateOrCheck (handle: OpenDatabase['handle'], name: string, migrate: boolean): Promise<void> {
  const [{ openStore }, { checkOptions }] = await Promise.all([import('../store/open-store.js'), import('../options.js')])
  try {
    await openStore(handle, () => undefined).migrate(checkOptions({ database: handle, migrate }))
  } catch (error) {
    if (migrate || (error as NodeJS.ErrnoException).code !== 'FOC_INCOMPLETE_SCHEMA') throw error
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

const repeatMs = 500

/**
 * Runs `work` with an AbortSignal for Ctrl-C and SIGTERM. An error after a signal gets the exit code that shells use. A second signal ends the
 * process at once. It is ignored if it follows within half a second, because npm repeats the terminal's Ctrl-C.
 */
export async function withInterruption<Result> (io: Io, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController()
  const { signal } = controller
  const removeListeners = onSignal(io, (name) => {
    controller.abort(name)
    setTimeout(removeListeners, repeatMs).unref()
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
  const [, day = ''] = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.exec(String(value)) ?? []
  const midnight = new Date(day)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day)
}
