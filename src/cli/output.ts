// All that commands write. What other people chose, as the name of a contact, must not command the terminal.

import type { Writable } from 'node:stream'
import type { Io } from './command.js'
import { CommandError } from './errors.js'

/** Writes text to stdout. */
export function print ({ stdout }: Io, text: string): void {
  stdout.write(printable(text))
}

/** Writes a line to stderr. */
export function report ({ stderr }: Io, sentence: string): void {
  stderr.write(`${printable(sentence.replace(/\s+/g, ' '))}\n`)
}

/** Writes what is lost if it is not seen. */
export async function printOnce ({ stdout }: Io, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stdout.write(printable(text), (error) => { if (error) reject(unwritable(error)); else resolve() })
  })
}

/** Writes a value as JSON. A character that commands a terminal is escaped, so that it is the same JSON. */
export function printJson ({ stdout }: Io, value: unknown): void {
  const json = JSON.stringify(value, null, 2)
  stdout.write(`${json.replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`)
}

/** Writes rows under their headings, each column as wide as it must be. */
export function printTable (io: Io, headings: string[], rows: string[][]): void {
  const lines = [headings, ...rows].map((line) => line.map((cell) => printable(cell).replace(/[\n\t]/g, '\uFFFD')))
  const widths = headings.map((_, column) => lines.reduce((widest, line) => Math.max(widest, String(line[column]).length), 0))
  for (const line of lines) print(io, `${line.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ').trimEnd()}\n`)
}

/** Without control characters and bidirectional overrides. */
export function printable (text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/gu, '\uFFFD')
}

/** A reader that stops reading, as `head` does, is no failure. An answer that cannot be written is one. */
export function watchOutput ({ stdout, stderr }: Io): { written: () => Promise<void> } {
  let failure: Error | undefined
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failure = error
  })
  // There is nowhere left to say it.
  stderr.on('error', () => undefined)

  return {
    written: async () => {
      await flush(stdout)
      if (failure !== undefined) throw unwritable(failure)
    }
  }
}

function unwritable (error: Error): CommandError {
  return new CommandError(`The output cannot be written: ${error.message}`, { cause: error })
}

function flush (stream: Writable): Promise<void> {
  return new Promise((resolve) => { stream.write('', () => { resolve() }) })
}

/** Says how far an import is: in a line that moves on a terminal, in a plain one every few seconds elsewhere. */
export interface Progress {
  advance: (lines: number, bytes: number) => void
  /** Takes the moving line away; what else is to be said comes before or after. */
  clear: () => void
  linesPerSecond: () => number
}

const movingInterval = 100 // ms
const plainInterval = 5000 // ms

export function createProgress (
  to: Writable & { isTTY?: boolean }, label: string, totalBytes: number | undefined, now = () => performance.now(), unit = 'lines'
): Progress {
  const onTerminal = to.isTTY === true
  const interval = onTerminal ? movingInterval : plainInterval
  const start = now()
  let next = start + interval
  let lines = 0
  let bytes = 0
  const linesPerSecond = (): number => Math.round(lines / Math.max(now() - start, 1) * 1000)

  return {
    linesPerSecond,
    advance: (moreLines, moreBytes) => {
      lines += moreLines
      bytes += moreBytes
      if (now() < next) return
      next = now() + interval
      const done = totalBytes === undefined ? undefined : Math.min(bytes / Math.max(totalBytes, 1), 1)
      const figures = `${done === undefined ? '' : `${Math.floor(done * 100)} % `}${lines} ${unit}, ${linesPerSecond()} ${unit}/s`
      to.write(onTerminal ? `\r${label}: ${figures}\x1b[K` : `${label}: ${figures}\n`)
    },
    clear: () => {
      if (onTerminal) to.write('\r\x1b[K')
    }
  }
}
