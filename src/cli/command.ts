// What the commands share: what they ask of their process, and how their options are read.

import type Database from 'better-sqlite3'
import { InvalidArgumentError } from 'commander'
import type { Kysely } from 'kysely'
import type { Readable, Writable } from 'node:stream'
import type { Pool } from 'pg'
import type { Tables } from '../store/tables.js'

/** What a command asks of its process. */
export interface Io {
  stdin: Readable
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

/** Runs `work` with an AbortSignal that a signal of the system, such as Ctrl-C, aborts; its reason is the name of that. */
export async function withInterruption<Result> (io: Io, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController()
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => ({ name, stop: () => { controller.abort(name) } }))
  for (const { name, stop } of listeners) io.on(name, stop)
  try {
    return await work(controller.signal)
  } finally {
    for (const { name, stop } of listeners) io.off(name, stop)
  }
}
