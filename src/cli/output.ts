import type { Writable } from 'node:stream'
import type { Io } from './command.js'
import { CommandError } from './errors.js'

/** Somebody who reads no further, as `head` does, is no failure. An answer that cannot be written is one. */
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
      if (failure !== undefined) throw new CommandError(`The output cannot be written: ${failure.message}`, { cause: failure })
    }
  }
}

function flush (stream: Writable): Promise<void> {
  return new Promise((resolve) => { stream.write('', () => { resolve() }) })
}

/** Writes rows under their headings, each column as wide as it must be. */
export function writeTable (to: Writable, headings: string[], rows: string[][]): void {
  const lines = [headings, ...rows].map((line) => line.map(printable))
  const widths = headings.map((_, column) => lines.reduce((widest, line) => Math.max(widest, String(line[column]).length), 0))
  for (const line of lines) {
    to.write(`${line.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ').trimEnd()}\n`)
  }
}

/** A visitor chooses a name freely: it must neither break a line nor command the terminal. */
function printable (cell: string): string {
  return cell.replace(/\p{Cc}/gu, '\uFFFD')
}
