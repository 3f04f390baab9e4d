import type Database from 'better-sqlite3'
import type { Io } from '../command.js'
import { InterruptedError } from '../errors.js'

const pagesAtOnce = 1000

/** Copies by SQLite's online backup, with progress on stderr. */
export async function copyDatabase (handle: Database.Database, file: string, io: Io, signal: AbortSignal): Promise<void> {
  const progress = createProgress(io)
  try {
    await handle.backup(file, {
      progress: ({ totalPages, remainingPages }) => {
        if (signal.aborted) throw new InterruptedError('Interrupted before the copy was complete: there is none', signal.reason as NodeJS.Signals)
        progress.show(1 - remainingPages / totalPages)
        return pagesAtOnce
      }
    })
  } finally {
    progress.clear()
  }
}

/** A line that counts up on a terminal, one for every tenth elsewhere. */
function createProgress ({ stderr }: Io): { show: (done: number) => void, clear: () => void } {
  const onTerminal = stderr.isTTY === true
  const step = onTerminal ? 1 : 10
  let shown = 0
  return {
    show: (done) => {
      const percent = Math.floor(done * 100 / step) * step
      if (percent === shown) return
      shown = percent
      stderr.write(onTerminal ? `\rbackup ${percent} %` : `backup: ${percent} %\n`)
    },
    clear: () => {
      if (onTerminal) stderr.write('\r\x1b[K')
    }
  }
}
