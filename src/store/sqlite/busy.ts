import type { SqliteDatabase } from './handle.js'

const busyCode = /^SQLITE_(BUSY|LOCKED)/
// better-sqlite3's words while the host iterates over a result on the same handle.
const handleInUse = 'This database connection is busy executing a query'

/** Whether the same call may succeed later, when somebody else is done. */
export function isBusy (error: unknown): boolean {
  const { code, message } = Object(error) as { code?: unknown, message?: unknown }
  return message === handleInUse || busyCode.test(String(code))
}

/**
 * Runs `work` while SQLite answers at once instead of sleeping on a lock, which would freeze the host's event loop for as
 * long as its busy timeout says. The handle's own timeout is put back.
 */
export function withoutBusyTimeout<Result> (database: SqliteDatabase, work: () => Result): Result {
  const timeout = Number(database.pragma('busy_timeout', { simple: true }))
  database.exec('PRAGMA busy_timeout = 0')
  try {
    return work()
  } finally {
    database.exec(`PRAGMA busy_timeout = ${timeout}`)
  }
}
