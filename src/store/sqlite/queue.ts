// Work waits for the database in a queue and is run in batches, in the order of arrival. Between two batches the event loop goes
// round, so it is never blocked for longer than a batch, however long the queue is.
//
// A batch never joins a transaction of the host and never lets SQLite sleep on a lock. While the handle is in use or another
// process holds the lock, the work stays in the queue, until the deadline of each job.

import { DatabaseBusyError } from '../../errors.js'
import { hasAttached, isWal, withoutBusyTimeout, type Connection } from './connection.js'

/** A batch ends after this time and leaves the rest of the queue to the next one. */
export const maxBatchMs = 2
/** Refusing a job takes no time here, but each refusal is a reply to be written. */
const maxRefusals = 50
const shortestPauseMs = 1
const longestPauseMs = 16

export interface Job {
  readonly promise: Promise<unknown>
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
  readonly deadline: number
}

export function createJob (timeoutMs: number): Job {
  const job = { deadline: performance.now() + timeoutMs } as Writable<Job>
  job.promise = new Promise((resolve, reject) => Object.assign(job, { resolve, reject }))
  return job
}

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] }

export interface Queue<J extends Job> {
  /** @throws {DatabaseBusyError} when the database could not be had until the job's deadline */
  enqueue: (job: J) => Promise<unknown>
  isEmpty: () => boolean
  /** Resolves when everything in the queue has ended. */
  drain: () => Promise<unknown>
}

/**
 * @param runBatch takes jobs from the queue and ends them. What it throws leaves its jobs in the queue: until later when the
 * database is busy; any other error ends them
 */
export function createQueue<J extends Job> (connection: Connection, runBatch: (queue: J[]) => void): Queue<J> {
  let queue: J[] = []
  let nextDeadline = Infinity
  let isScheduled = false
  let pause = shortestPauseMs
  /** What the database was last busy with. */
  let obstacle: unknown

  function schedule (delay: number): void {
    if (isScheduled || queue.length === 0) return
    isScheduled = true
    if (delay === 0) setImmediate(run)
    else setTimeout(run, delay)
  }

  function run (): void {
    isScheduled = false
    schedule(runOnce())
  }

  /** Returns the pause before the next batch. */
  function runOnce (): number {
    try {
      // A look is cheap, and a host that runs one transaction after the other leaves short gaps.
      if (connection.inTransaction) {
        obstacle = new Error('the host has a transaction on the handle')
        return refuseLate(shortestPauseMs)
      }
      if (isWal(connection) && !hasAttached(connection)) runBatch(queue)
      else withoutBusyTimeout(connection, () => { runBatch(queue) })
      pause = shortestPauseMs
      return 0
    } catch (error) {
      if (connection.isBusy(error)) {
        obstacle = error
        pause = Math.min(pause * 2, longestPauseMs)
        return refuseLate(pause)
      }
      for (const job of queue.splice(0, maxRefusals)) job.reject(error)
      return 0
    }
  }

  /** Refuses the jobs whose deadline is over. */
  function refuseLate (delay: number): number {
    const now = performance.now()
    if (now < nextDeadline) return delay
    const late = new Set(queue.filter(({ deadline }) => deadline <= now).slice(0, maxRefusals))
    queue = queue.filter((job) => !late.has(job))
    nextDeadline = queue.reduce((least, { deadline }) => Math.min(least, deadline), Infinity)
    for (const job of late) job.reject(new DatabaseBusyError({ cause: obstacle }))
    return late.size === maxRefusals ? 0 : delay
  }

  return {
    enqueue: (job) => {
      queue.push(job)
      nextDeadline = Math.min(nextDeadline, job.deadline)
      schedule(0)
      return job.promise
    },
    isEmpty: () => queue.length === 0,
    drain: () => Promise.allSettled(queue.map(({ promise }) => promise))
  }
}
