import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { Opened } from '../command.js'

/** Adds GET /health. The returned function tells it that an update has failed: from then on it also writes, until that succeeds. */
export function addHealth (app: FastifyInstance, read: () => Promise<unknown>, write: () => Promise<unknown>): () => void {
  let updateFailed = false
  let running: Promise<string | undefined> | undefined

  const fails = async (work: () => Promise<unknown>, message: string): Promise<boolean> => {
    try {
      await work()
      return false
    } catch (error) {
      app.log.error({ err: error }, message)
      return true
    }
  }
  const check = async (): Promise<string | undefined> => {
    if (await fails(read, 'the database does not answer')) return 'read-failed'
    if (!updateFailed) return undefined
    updateFailed = false
    updateFailed ||= await fails(write, 'the database cannot be written')
    return updateFailed ? 'write-failed' : undefined
  }

  app.get('/health', { schema: { hide: true } }, async (_request, reply) => {
    // All that ask at once get one answer.
    running ??= check().finally(() => { running = undefined })
    const reason = await running
    return reason === undefined ? { status: 'ok' } : reply.code(503).send({ status: 'unavailable', reason })
  })
  return () => { updateFailed = true }
}

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
