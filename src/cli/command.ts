// What the commands share: what they ask of their process, and how their options are read.

import type Database from 'better-sqlite3'
import { InvalidArgumentError } from 'commander'
import type { Kysely } from 'kysely'
import type { Readable, Writable } from 'node:stream'
import type { Pool } from 'pg'
import type { Tables } from '../store/tables.js'

/** What a command asks of its process. */
export interface Io {
  stdin: Readable & { fd?: number }
  stdout: Writable & { columns?: number }
  stderr: Writable & { isTTY?: boolean }
  on (signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  off (signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  /** What a single-file build brings along, because it has no files to load. */
  embedded?: { sqlite: object }
  /** A file of the documentation page, packed by gzip. */
  readAsset: (name: string) => Buffer
  /** Ends the process, whatever it waits for. */
  exit?: () => unknown
}

/**
 * What a command does with a database: it only checks the schema (`read`, and `try` for a transaction that is rolled back), it brings
 * the schema up to date (`change`), it makes a new one too (`create`), also among tables of others (`add`).
 */
export type Access = 'read' | 'try' | 'change' | 'create' | 'add'

/** A database that a command has opened. */
export interface Opened {
  /** As messages name it. */
  name: string
  db: Kysely<Tables>
  /** What the plugin is given. */
  handle: Database.Database | Pool
  /** Rejects when it does not answer. */
  ask: () => Promise<unknown>
}

export type Work<Result> = (db: Kysely<Tables>, opened: Opened) => Promise<Result>

/** Reads an option as a whole number. */
export function wholeNumber (from: number, to?: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (!/^\d+$/.test(text) || number < from || number > (to ?? Number.MAX_SAFE_INTEGER)) {
      throw new InvalidArgumentError(`It must be a whole number from ${from}${to === undefined ? '' : ` to ${to}`}`)
    }
    return number
  }
}

/** Collects the values of an option that may be given several times. */
export function collect (text: string, before: string[] = []): string[] {
  return [...before, text]
}

const repeatedAfter = 500 // ms

/**
 * Runs `work` with an AbortSignal that a signal of the system, such as Ctrl-C, aborts; its reason is the name of that. A second one
 * ends the process at once, but not when it follows immediately: npm passes on the Ctrl-C that the terminal has sent already.
 */
export async function withInterruption<Result> (io: Io, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController()
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => ({
    name,
    stop: () => {
      controller.abort(name)
      setTimeout(forget, repeatedAfter).unref()
    }
  }))
  const forget = (): void => { for (const { name, stop } of listeners) io.off(name, stop) }
  for (const { name, stop } of listeners) io.on(name, stop)
  try {
    return await work(controller.signal)
  } finally {
    forget()
  }
}

/** A time of ISO 8601 with its zone. Date alone takes 30 February for 2 March, and a time without a zone for one of this computer's. */
export function isTime (value: unknown): value is string {
  const [, day = ''] = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.exec(String(value)) ?? []
  const midnight = new Date(day)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day)
}
