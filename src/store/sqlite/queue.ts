// Work waits for the database in a queue and runs in batches, in the order of arrival. The event loop runs between two batches, so it
// is not blocked for longer than a batch, however long the queue is.
//
// A batch never joins a transaction of the host and never lets SQLite sleep on a lock. While the host uses the handle or another
// process holds the lock, each job stays in the queue until its deadline.

import { DatabaseBusyError, type Obstacle } from '../../errors.js'
import { hasAttached, isWal, withoutBusyTimeout, type Connection } from './connection.js'
import { saysIteratorIsOpen } from './handle.js'

/**
 * A batch ends after this time and leaves the rest of the queue to the next one. With 2 ms, 256 connections got 2 to 4 % more updates a
 * second, but the event loop was held for 60 % longer.
 */
export const maxBatchMs = 1.2
/** How many jobs are refused before the event loop runs again, because sending their replies takes time. */
const maxRefusals = 50
const shortestPauseMs = 1
const longestPauseMs = 16

export interface Job<Work> {
  readonly work: Work
  readonly deadline: number
  readonly promise: Promise<unknown>
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

function createJob<Work> (work: Work, timeoutMs: number): Job<Work> {
  let resolve!: Job<Work>['resolve']
  let reject!: Job<Work>['reject']
  const promise = new Promise((onResult, onError) => {
    resolve = onResult
    reject = onError
  })
  // One object literal, because adding the members one by one would take a tenth of an update's time.
  return { work, deadline: performance.now() + timeoutMs, promise, resolve, reject }
}

/**
 * @param runBatch takes jobs from the queue, and resolves or rejects them. Before it throws, it must put its jobs back into the queue. If
 * the database was busy, they run later. After any other error they are rejected. If `exclusive` is true, it must lock out readers
 */
export function createQueue<Work> (connection: Connection, runBatch: (queue: Array<Job<Work>>, exclusive: boolean) => void) {
  let queue: Array<Job<Work>> = []
  let nextDeadline = Infinity
  let isScheduled = false
  let busyPause = shortestPauseMs
  let hasReadSchema = false

  function schedule (pause: number): void {
    if (isScheduled || queue.length === 0) return
    isScheduled = true
    if (pause === 0) setImmediate(run)
    else setTimeout(run, pause)
  }

  function run (): void {
    isScheduled = false
    schedule(runOnce())
  }

  /** Returns the pause before the next batch. */
  function runOnce (): number {
    try {
      // Try again after the shortest pause, because the gaps between the host's transactions may be short.
      if (connection.inTransaction) {
        return refuseLate(shortestPauseMs, 'host-transaction', new Error('the host has a transaction on the handle'))
      }
      // The first statement of a handle reads the schema, which another connection may have locked.
      const inWal = hasReadSchema ? isWal(connection) : withoutBusyTimeout(connection, () => isWal(connection))
      hasReadSchema = true
      const attached = hasAttached(connection)
      if (inWal && !attached) runBatch(queue, false)
      // Without a WAL, COMMIT would wait for readers, so BEGIN EXCLUSIVE locks them out. But it would lock attached files too.
      else withoutBusyTimeout(connection, () => { runBatch(queue, !attached) })
      busyPause = shortestPauseMs
      return 0
    } catch (error) {
      if (connection.isBusy(error)) {
        busyPause = Math.min(busyPause * 2, longestPauseMs)
        return refuseLate(busyPause, saysIteratorIsOpen(error) ? 'host-iterator' : 'other-connection', error)
      }
      for (const job of queue.splice(0, maxRefusals)) job.reject(error)
      return 0
    }
  }

  /** Refuses jobs whose deadline is over. Returns the pause before the next batch: 0 if more jobs may be late, or else `pause`. */
  function refuseLate (pause: number, obstacle: Obstacle, cause: unknown): number {
    const now = performance.now()
    if (now < nextDeadline) return pause
    const late = new Set(queue.filter(({ deadline }) => deadline <= now).slice(0, maxRefusals))
    queue = queue.filter((job) => !late.has(job))
    nextDeadline = queue.reduce((least, { deadline }) => Math.min(least, deadline), Infinity)
    for (const job of late) job.reject(new DatabaseBusyError({ obstacle, cause }))
    return late.size === maxRefusals ? 0 : pause
  }

  return {
    /** @throws {DatabaseBusyError} if the database was busy for `timeoutMs` */
    enqueue: (work: Work, timeoutMs: number): Promise<unknown> => {
      const job = createJob(work, timeoutMs)
      queue.push(job)
      nextDeadline = Math.min(nextDeadline, job.deadline)
      schedule(0)
      return job.promise
    },
    isEmpty: () => queue.length === 0,
    drain: () => Promise.allSettled(queue.map(({ promise }) => promise))
  }
}
