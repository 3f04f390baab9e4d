// Moves SQLite's log (WAL) into the database file from a worker thread, so that the event loop does not wait for the disk to do it.
// SQLite's own checkpoint stays on, for a longer log: it takes over if the worker is late or has ended.

import type { FastifyInstance } from 'fastify'
import { Worker } from 'node:worker_threads'
import type { FileHandle } from '../command.js'

const intervalMs = 10
const pauseAfterErrorMs = 1000

/** What both SQLite libraries have. */
export interface LogDatabase {
  exec: (sql: string) => unknown
  prepare: (sql: string) => { get: () => unknown }
}

/**
 * What the worker tells of an error. The error itself would lose parts on its way to the main thread: that of better-sqlite3 its message,
 * that of node:sqlite its codes.
 */
interface Problem {
  message: string
  code?: string | undefined
  errcode?: number | undefined
}

/** What the worker is told. It uses the library of the server: two SQLite libraries in one process do not see each other's locks. */
export interface WorkerSettings {
  file: string
  usesNodeSqlite: boolean
  /** Pages of a log at which SQLite makes a checkpoint itself. */
  autocheckpoint: number
}

/** Moves the log of a database, again and again, while other connections write. Returns the function that ends it. */
export function checkpointRepeatedly (database: LogDatabase, autocheckpoint: number, onError: (problem: Problem) => void): () => void {
  const checkpoint = (mode: 'NOOP' | 'PASSIVE' | 'RESTART') =>
    database.prepare(`PRAGMA main.wal_checkpoint(${mode})`).get() as { log: number, checkpointed: number }
  let lengthAtRestart = 0

  // Waiting for a reader would keep writers out. A checkpoint without syncs could damage the file in a power failure, and the default
  // depends on how the library was built.
  database.exec('PRAGMA busy_timeout = 0; PRAGMA synchronous = FULL')
  let timer = setTimeout(run, intervalMs)

  function run (): void {
    let pauseMs = intervalMs
    try {
      // SQLite before 3.51 takes NOOP for PASSIVE.
      const { log, checkpointed } = checkpoint('NOOP')
      if (log - checkpointed >= autocheckpoint / 10) checkpoint('PASSIVE')
      // PASSIVE alone lets the log grow as long as each checkpoint is followed by a write. RESTART keeps writers out until it has moved the
      // rest, which is little after PASSIVE. The log keeps its length until the next write, and until then needs no other RESTART.
      if (log >= autocheckpoint * 0.4 && log !== lengthAtRestart) {
        lengthAtRestart = log
        checkpoint('RESTART')
      }
    } catch (error) {
      pauseMs = pauseAfterErrorMs
      const { message, code, errcode } = error as Problem
      onError({ message, code, errcode })
    }
    timer = setTimeout(run, pauseMs)
  }

  return () => { clearTimeout(timer) }
}

/** Starts the worker, which ends with the server. Its program is a file, or a text in an executable. */
export function startCheckpoints (program: URL | string, handle: FileHandle, app: FastifyInstance): void {
  const workerData: WorkerSettings = {
    file: handle.name,
    usesNodeSqlite: 'isTransaction' in handle,
    autocheckpoint: handle.pragma('wal_autocheckpoint', { simple: true }) as number
  }
  const worker = new Worker(program, { workerData, eval: typeof program === 'string', execArgv: [] })
  worker.on('message', (problem: Problem) => { app.log.warn({ err: problem }, 'a checkpoint in the worker thread failed and is repeated') })
  let reason: unknown
  const warn = (): void => { app.log.warn({ err: reason }, 'the worker thread for checkpoints has ended: SQLite makes them itself') }
  worker.on('error', (error) => { reason = error })
  worker.on('exit', warn)
  app.addHook('onClose', async () => {
    worker.off('exit', warn)
    // Ends also a worker that hangs. A checkpoint under way is finished, then Node.js closes the worker's database.
    await worker.terminate()
  })
}
