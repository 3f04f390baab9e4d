// A locked database is waited for without sleeping inside SQLite, which would freeze the host's event loop for as
// long as its busy timeout says.

import { setTimeout as pause } from 'node:timers/promises'
import type { SqliteDatabase } from './sqlite-store.js'
import { DatabaseBusyError } from '../../errors.js'

const busyCode = /^SQLITE_(BUSY|LOCKED)/
// better-sqlite3's words while the host iterates over a result on the same handle.
const handleInUse = 'This database connection is busy executing a query'

/** Whether the same call may succeed later, when somebody else is done. */
export function isBusy (error: unknown): boolean {
  const { code, message } = Object(error) as { code?: unknown, message?: unknown }
  return message === handleInUse || busyCode.test(String(code))
}

/** Runs `work` while SQLite answers at once instead of waiting for a lock; the handle's own timeout is put back. */
export function withoutBusyTimeout<Result> (database: SqliteDatabase, work: () => Result): Result {
  const timeout = Number(database.pragma('busy_timeout', { simple: true }))
  database.exec('PRAGMA busy_timeout = 0')
  try {
    return work()
  } finally {
    database.exec(`PRAGMA busy_timeout = ${timeout}`)
  }
}

/**
 * Runs `work` outside of any transaction as soon as the database can be had.
 *
 * @throws {DatabaseBusyError} after `lockTimeout` milliseconds
 */
export async function whenFree<Result> (database: SqliteDatabase, work: () => Result, lockTimeout: number): Promise<Result> {
  const deadline = performance.now() + lockTimeout
  for (;;) {
    try {
      if (!database.inTransaction) return withoutBusyTimeout(database, work)
    } catch (error) {
      if (!isBusy(error)) throw error
    }
    if (performance.now() >= deadline) throw new DatabaseBusyError()
    await pause(5)
  }
}
