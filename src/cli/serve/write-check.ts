import type Database from 'better-sqlite3'
import type { Opened } from '../command.js'

/**
 * SQLite opens a file that it may only read without a word, and says so at the first write.
 *
 * @throws {Error} SQLITE_READONLY
 */
export function checkWritable (handle: Database.Database): void {
  try {
    // Begins to write, and has nothing to write.
    withoutWaiting(handle, () => handle.exec('DELETE FROM omnichannel_migration WHERE false'))
  } catch (error) {
    // Who has to wait may write later.
    if (!(error as { code: string }).code.startsWith('SQLITE_BUSY')) throw error
  }
}

/**
 * Commits something that changes nothing.
 *
 * @throws {Error} the engine's, when nothing can be written
 */
export async function tryToWrite (handle: Opened['handle']): Promise<void> {
  if ('pragma' in handle) {
    withoutWaiting(handle, () => {
      // On a full disk the log may still have room for this page, and for no update.
      handle.pragma('wal_checkpoint(TRUNCATE)')
      // SQLite skips a row that is written as it was, but never this.
      handle.pragma(`user_version = ${handle.pragma('user_version', { simple: true }) as number}`)
    })
  } else {
    await handle.query('UPDATE omnichannel_migration SET applied_at = applied_at')
  }
}

function withoutWaiting (handle: Database.Database, work: () => void): void {
  const timeout = Number(handle.pragma('busy_timeout', { simple: true }))
  handle.pragma('busy_timeout = 0')
  try {
    work()
  } finally {
    handle.pragma(`busy_timeout = ${timeout}`)
  }
}
