// All output of the commands. Control characters are replaced, because a stored name must not send commands to the terminal.

import { CommandError } from './errors.js'
import type { Io } from './shared.js'

export function print ({ stdout }: Io, text: string): void {
  stdout.write(printable(text))
}

export function report ({ stderr }: Io, sentence: string): void {
  stderr.write(`${printable(sentence.replace(/\s+/g, ' '))}\n`)
}

/** Writes text to stdout, and resolves when it is written. Rejects when it cannot be written. */
export async function printOnce ({ stdout }: Io, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stdout.write(printable(text), (error) => { if (error) reject(unwritable(error)); else resolve() })
  })
}

/** Writes a value as JSON. Escapes the control characters and bidirectional overrides that JSON.stringify leaves as they are. */
export function printJson ({ stdout }: Io, value: unknown): void {
  const json = JSON.stringify(value, null, 2)
  stdout.write(`${json.replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`)
}

/** Writes rows under their headings, in aligned columns. */
export function printTable (io: Io, headings: string[], rows: string[][]): void {
  const lines = [headings, ...rows].map((row) => row.map((cell) => printable(cell).replace(/[\n\t]/g, '\uFFFD')))
  const widths = headings.map((_, column) => lines.reduce((widest, cells) => Math.max(widest, String(cells[column]).length), 0))
  for (const cells of lines) print(io, `${cells.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ').trimEnd()}\n`)
}

/** Replaces control characters, except line feeds and tabs, and bidirectional overrides. */
function printable (text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, '\uFFFD')
}

/** Returns a function that waits for all output, and rejects if some could not be written. A closed pipe, as of `head`, is no error. */
export function watchOutput ({ stdout, stderr }: Io): () => Promise<void> {
  let failure: Error | undefined
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failure = error
  })
  // An error of stderr cannot be reported anywhere.
  stderr.on('error', () => undefined)
  return async () => {
    await new Promise<void>((resolve) => { stdout.write('', () => { resolve() }) })
    if (failure !== undefined) throw unwritable(failure)
  }
}

function unwritable (error: Error): CommandError {
  return new CommandError(`The output cannot be written: ${error.message}`, { cause: error })
}

/** Shows on stderr how far a command is. On a terminal this is always the same line, which `clear` removes. */
export function createStatus ({ stderr }: Pick<Io, 'stderr'>) {
  // ESC [ K clears the rest of the line.
  return stderr.isTTY === true
    ? { show: (text: string) => { stderr.write(`\r${text}\x1b[K`) }, clear: () => { stderr.write('\r\x1b[K') } }
    : { show: (text: string) => { stderr.write(`${text}\n`) }, clear: () => undefined }
}

/** Counts lines or rows. Shows the count, with a percentage if `totalBytes` is known: every 100 ms on a terminal, every 5 seconds elsewhere. */
export function createProgress (
  io: Pick<Io, 'stderr'>, label: string,
  { totalBytes, unit = 'lines' }: { totalBytes?: number | undefined, unit?: string }
) {
  const { show, clear } = createStatus(io)
  const intervalMs = io.stderr.isTTY === true ? 100 : 5000
  const start = performance.now()
  let nextShow = start + intervalMs
  let units = 0
  let bytes = 0
  const perSecond = (): number => Math.round(units / Math.max(performance.now() - start, 1) * 1000)
  const advance = (moreUnits: number, moreBytes = 0): void => {
    units += moreUnits
    bytes += moreBytes
    if (performance.now() < nextShow) return
    nextShow = performance.now() + intervalMs
    const percent = totalBytes === undefined ? '' : `${Math.min(100, Math.floor(bytes / Math.max(totalBytes, 1) * 100))} % `
    show(`${label}: ${percent}${units} ${unit}, ${perSecond()} ${unit}/s`)
  }
  return { advance, perSecond, clear }
}
