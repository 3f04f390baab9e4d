// What the commands share: what they ask of their process, and how their options are read.

import { InvalidArgumentError } from 'commander'
import type { Readable, Writable } from 'node:stream'

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
