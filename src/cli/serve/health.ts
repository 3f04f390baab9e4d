import type { FastifyInstance } from 'fastify'
import { setTimeout as pause } from 'node:timers/promises'
import { commitNothing, withoutBusyTimeout } from '../../store/sqlite/connection.js'
import { connect } from '../../store/sqlite/node-sqlite.js'
import { isFileHandle, type FileHandle, type Handle, type OpenDatabase } from '../shared.js'

const checkTimeoutMs = 2000

/** Adds GET /health. Returns a function to call after a failed update: from then on the check also writes, until a write succeeds. */
export function addHealth (app: FastifyInstance, { handle, ping }: Pick<OpenDatabase, 'handle' | 'ping'>): () => void {
  let updateFailed = false
  let runningCheck: Promise<string | undefined> | undefined
  /** It may last longer than a check. Another one would occupy one more client of the pool. */
  let runningWrite: Promise<void> | undefined

  const succeeds = async (work: () => Promise<unknown>, message: string): Promise<boolean> => {
    try {
      await Promise.race([work(), pause(checkTimeoutMs, undefined, { ref: false }).then(() => { throw new Error('no answer in time') })])
      return true
    } catch (error) {
      app.log.error({ err: error }, message)
      return false
    }
  }
  const check = async (): Promise<string | undefined> => {
    if (!await succeeds(ping, 'the database does not answer')) return 'read-failed'
    if (!updateFailed) return undefined
    updateFailed = false
    const write = async (): Promise<void> => { await (runningWrite ??= tryToWrite(handle).finally(() => { runningWrite = undefined })) }
    if (await succeeds(write, 'the database cannot be written')) return undefined
    updateFailed = true
    return 'write-failed'
  }

  app.get('/health', { schema: { hide: true } }, async (_request, reply) => {
    // Requests that arrive together share one check.
    runningCheck ??= check().finally(() => { runningCheck = undefined })
    const reason = await runningCheck
    return reason === undefined ? { status: 'ok' } : reply.code(503).send({ status: 'unavailable', reason })
  })
  return () => { updateFailed = true }
}

async function tryToWrite (handle: Handle): Promise<void> {
  if (isFileHandle(handle)) {
    const connection = connect(handle)
    withoutBusyTimeout(connection, () => {
      // Empties the log: on a full disk it may have room for this write, but not for an update.
      handle.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      commitNothing(connection)
    })
  } else {
    await handle.query('UPDATE omnichannel_migration SET applied_at = applied_at')
  }
}

/** Throws if the file is read-only. SQLite opens such a file without an error, and fails at the first write. */
export function checkWritable (handle: FileHandle): void {
  const connection = connect(handle)
  try {
    withoutBusyTimeout(connection, () => { connection.exec('DELETE FROM omnichannel_migration WHERE false') })
  } catch (error) {
    // If another program is writing, this one can write later.
    if (!connection.isBusy(error)) throw error
  }
}
