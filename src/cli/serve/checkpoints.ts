// Moves SQLite's log (WAL) into the database file from a worker thread, so that the event loop does not wait for the disk. SQLite's
// automatic checkpoint stays on. It begins at a longer log, so it only runs if the worker is late or has ended.

import type { FastifyInstance } from 'fastify'
import { Worker } from 'node:worker_threads'
import type { FileHandle } from '../shared.js'

const intervalMs = 10
const pauseAfterErrorMs = 1000
// At these parts of the length at which SQLite makes an automatic checkpoint.
const passivePart = 0.1
const restartPart = 0.4

/** The methods that both SQLite libraries have. */
export interface CheckpointDatabase {
  exec: (sql: string) => unknown
  prepare: (sql: string) => { get: () => unknown }
}

/** An error in the worker, as it is sent. An Error of better-sqlite3 would lose its message on the way, and one of node:sqlite its codes. */
interface CheckpointError {
  message: string
  code?: string | undefined
  errcode?: number | undefined
}

/** What the worker needs to open the file. It must use the server's library: two SQLite libraries in one process do not see each other's locks. */
export interface WorkerSettings {
  file: string
  usesNodeSqlite: boolean
  /** The length of the log in pages at which SQLite makes an automatic checkpoint. */
  autocheckpoint: number
}

/** Moves the log into the database file at short intervals, while other connections write. Returns a function that stops this. */
export function checkpointRepeatedly (database: CheckpointDatabase, autocheckpoint: number, onError: (problem: CheckpointError) => void): () => void {
  const checkpoint = (mode: 'NOOP' | 'PASSIVE' | 'RESTART') =>
    database.prepare(`PRAGMA main.wal_checkpoint(${mode})`).get() as { log: number, checkpointed: number }
  let pagesAtRestart = 0

  // A checkpoint that waits for a reader keeps writers out, so it must not wait. Without syncs a power failure could damage the file, and
  // the default of `synchronous` depends on how the library was built.
  database.exec('PRAGMA busy_timeout = 0; PRAGMA synchronous = FULL')
  let timer = setTimeout(run, intervalMs)

  function run (): void {
    let pauseMs = intervalMs
    try {
      // NOOP only reads the lengths. SQLite before 3.51 runs PASSIVE instead.
      const { log: pages, checkpointed: movedPages } = checkpoint('NOOP')
      if (pages - movedPages >= autocheckpoint * passivePart) checkpoint('PASSIVE')
      // With PASSIVE alone the log grows while writes go on. After RESTART, the next write goes to the beginning of the log. RESTART keeps
      // writers out while it moves the remaining pages, which are few after PASSIVE. Until the next write the log keeps its length, and
      // another RESTART would do nothing.
      if (pages >= autocheckpoint * restartPart && pages !== pagesAtRestart) {
        pagesAtRestart = pages
        checkpoint('RESTART')
      }
    } catch (error) {
      pauseMs = pauseAfterErrorMs
      const { message, code, errcode } = error as CheckpointError
      onError({ message, code, errcode })
    }
    timer = setTimeout(run, pauseMs)
  }

  return () => { clearTimeout(timer) }
}

/** Starts the worker, which ends with the server. `program` is its file, or its source text in the single executable. */
export function startCheckpoints (program: URL | string, handle: FileHandle, app: FastifyInstance): void {
  const { wal_autocheckpoint: autocheckpoint } = handle.prepare('PRAGMA wal_autocheckpoint').get() as { wal_autocheckpoint: number }
  const workerData: WorkerSettings = { file: handle.name, usesNodeSqlite: 'isTransaction' in handle, autocheckpoint }
  let reason: unknown
  const warn = (): void => { app.log.warn({ err: reason }, 'the worker thread for checkpoints has ended: SQLite makes them itself') }
  let worker: Worker
  try {
    worker = new Worker(program, { workerData, eval: typeof program === 'string', execArgv: [] })
  } catch (error) {
    // The system allows no more threads.
    reason = error
    return warn()
  }
  worker.on('message', (problem: CheckpointError) => { app.log.warn({ err: problem }, 'a checkpoint in the worker thread failed and is repeated') })
  worker.on('error', (error) => { reason = error })
  worker.on('exit', warn)
  app.addHook('onClose', async () => {
    worker.off('exit', warn)
    // This also ends a worker that hangs. A checkpoint under way is finished, then Node.js closes the worker's database.
    await worker.terminate()
  })
}
