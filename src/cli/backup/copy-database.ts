import type Database from 'better-sqlite3'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'

const pagesAtOnce = 1000

/** Copies by SQLite's online backup, with progress on stderr. A signal stops it. */
export async function copyDatabase (handle: Database.Database, file: string, io: Io): Promise<void> {
  let isStopped = false
  const stop = (): void => { isStopped = true }
  io.on('SIGINT', stop)
  io.on('SIGTERM', stop)
  const progress = createProgress(io)
  try {
    await handle.backup(file, {
      progress: ({ totalPages, remainingPages }) => {
        if (isStopped) throw new CommandError('Stopped before the copy was complete: there is none')
        progress.show(1 - remainingPages / totalPages)
        return pagesAtOnce
      }
    })
  } finally {
    progress.clear()
    io.off('SIGINT', stop)
    io.off('SIGTERM', stop)
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
