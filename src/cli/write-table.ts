import type { Writable } from 'node:stream'

/** Writes rows under their headings, each column as wide as it must be. */
export function writeTable (to: Writable, headings: string[], rows: string[][]): void {
  const lines = [headings, ...rows]
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => String(line[column]).length)))
  for (const line of lines) {
    to.write(`${line.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ').trimEnd()}\n`)
  }
}
