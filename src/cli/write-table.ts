import type { Writable } from 'node:stream'

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
