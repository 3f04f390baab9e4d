import type { Writable } from 'node:stream'

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
