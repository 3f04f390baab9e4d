// Moves SQLite's log (WAL) into the database file from a worker thread, so that the event loop does not wait for the disk to do it.
// SQLite's own checkpoint stays on, for a longer log: it takes over if the worker is late or has ended.

import type { FastifyBaseLogger } from 'fastify'
import { Worker } from 'node:worker_threads'
import type { FileHandle } from '../command.js'

const intervalMs = 10
const pauseAfterErrorMs = 1000

/** What both SQLite libraries have. */
export interface LogDatabase {
  prepare: (sql: string) => { get: () => unknown }
}

export interface CheckpointSettings {
  /** Pages of a log at which SQLite makes a checkpoint itself. */
  autocheckpoint: number
  onError: (error: unknown) => void
}

/** What the worker is told. It uses the library of the server: two SQLite libraries in one process do not see each other's locks. */
export interface WorkerSettings {
  file: string
  usesNodeSqlite: boolean
  autocheckpoint: number
}

/** Moves the log of a database, again and again, while other connections write. Returns the function that ends it. */
export function checkpointRepeatedly (database: LogDatabase, { autocheckpoint, onError }: CheckpointSettings): () => void {
  // Waiting for a reader would keep writers out.
  database.prepare('PRAGMA busy_timeout = 0').get()
  let timer = setTimeout(run, intervalMs)

  function run (): void {
    let pauseMs = intervalMs
    try {
      checkpointIfLong(database, autocheckpoint)
    } catch (error) {
      pauseMs = pauseAfterErrorMs
      onError(error)
    }
    timer = setTimeout(run, pauseMs)
  }

  return () => { clearTimeout(timer) }
}

function checkpointIfLong (database: LogDatabase, autocheckpoint: number): void {
  const checkpoint = (mode: 'NOOP' | 'PASSIVE' | 'RESTART') =>
    database.prepare(`PRAGMA main.wal_checkpoint(${mode})`).get() as { log: number, checkpointed: number }

  // SQLite before 3.51 takes NOOP for PASSIVE.
  const { log, checkpointed } = checkpoint('NOOP')
  const waiting = log - checkpointed
  if (waiting >= autocheckpoint / 10) checkpoint('PASSIVE')
  // PASSIVE alone lets the log grow as long as each checkpoint is followed by a write. RESTART keeps writers out until it has moved the
  // rest, which is little after PASSIVE.
  if (waiting > 0 && log >= autocheckpoint * 0.4) checkpoint('RESTART')
}

/**
 * Starts the worker. Returns the function that ends it.
 *
 * @param program the file of the worker, or its text in an executable
 */
export function startCheckpoints (program: URL | string, handle: FileHandle, log: FastifyBaseLogger): () => Promise<void> {
  const workerData: WorkerSettings = {
    file: handle.name,
    usesNodeSqlite: 'isTransaction' in handle,
    autocheckpoint: handle.pragma('wal_autocheckpoint', { simple: true }) as number
  }
  const worker = new Worker(program, { workerData, eval: typeof program === 'string', execArgv: [] })
  worker.unref()
  worker.on('message', (error) => { log.warn({ err: error }, 'a checkpoint in the worker thread failed and is repeated') })
  worker.on('error', (error) => { log.warn({ err: error }, 'the worker thread for checkpoints has ended: SQLite makes them itself') })
  const ended = new Promise<void>((resolve) => worker.once('exit', () => { resolve() }))
  return async () => {
    worker.ref()
    worker.postMessage('end')
    await ended
  }
}
