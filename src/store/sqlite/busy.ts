import type { SqliteDatabase, SqliteStatement } from './handle.js'

const busyCode = /^SQLITE_(BUSY|LOCKED)/
// better-sqlite3's words while the host iterates over a result on the same handle.
const handleInUse = 'This database connection is busy executing a query'

/** Whether the same call may succeed later, when somebody else is done. */
export function isBusy (error: unknown): boolean {
  const { code, message } = Object(error) as { code?: unknown, message?: unknown }
  return message === handleInUse || busyCode.test(String(code))
}

export interface BusyTimeout {
  /** Whether the journal is a WAL, in which no writer locks a reader out. */
  readersAreFree: boolean
  /**
   * Runs `work` while SQLite answers at once instead of sleeping on a lock, which would freeze the host's event loop for as
   * long as its busy timeout says. The handle's own timeout is put back.
   */
  without: <Result>(work: () => Result) => Result
}

export function createBusyTimeout (database: SqliteDatabase): BusyTimeout {
  let prepared: SqliteStatement | undefined

  function read (): number {
    if (!busyTimeout.readersAreFree) return Number(database.pragma('busy_timeout', { simple: true }))
    // Nothing is left for the garbage collector, which took a tenth of a lone update; but it takes the lock of a reader.
    prepared ??= database.prepare('SELECT timeout FROM pragma_busy_timeout').safeIntegers(false).pluck(true)
    return prepared.get() as number
  }

  const busyTimeout: BusyTimeout = {
    readersAreFree: false,
    without: (work) => {
      const timeout = read()
      database.exec('PRAGMA busy_timeout = 0')
      try {
        return work()
      } finally {
        database.exec(`PRAGMA busy_timeout = ${timeout}`)
      }
    }
  }
  return busyTimeout
}
