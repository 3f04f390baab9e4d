import type Database from 'better-sqlite3'

/**
 * SQLite opens a file that it may only read without a word, and says so at the first write.
 *
 * @throws {Error} SQLITE_READONLY
 */
export function checkWritable (handle: Database.Database): void {
  const timeout = Number(handle.pragma('busy_timeout', { simple: true }))
  handle.pragma('busy_timeout = 0')
  try {
    // Begins to write, and has nothing to write.
    handle.exec('DELETE FROM omnichannel_migration WHERE false')
  } catch (error) {
    // Who has to wait may write later.
    if (!(error as { code: string }).code.startsWith('SQLITE_BUSY')) throw error
  } finally {
    handle.pragma(`busy_timeout = ${timeout}`)
  }
}
