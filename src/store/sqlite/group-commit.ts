// Updates that wait together share one transaction and one COMMIT, and none is answered before it. A lone update waits for no
// other: it runs in the next setImmediate.
//
// A refused update has written nothing. When one fails after it has written, the whole transaction is rolled back and the others
// run again; the next updates then have savepoints. An update with a `beforeCommit` always has one, so that it can be undone
// alone. A host that ends our transaction is noticed because the savepoint is gone; the rows tell what became of it.

import { AsyncBeforeCommitError, RequestGoneError } from '../../errors.js'
import type { Decision, HostCallback, Query, Update } from '../operation.js'
import type { Reply } from '../store.js'
import type { Cache } from './cache.js'
import { withoutBusyTimeout, type Connection, type Locking } from './connection.js'
import { createQueue, maxBatchMs, type Job, type Queue } from './queue.js'

/** After an update that failed when it had written, so many updates have savepoints. */
const SAVEPOINTS_AFTER_FAILURE = 1000

export interface UpdateWork {
  readonly prepare: () => Update<unknown>
  readonly reply: Reply
  /** Runs alone, because SQLite has rolled back a transaction that it shared. */
  ownTransaction: boolean
  /** Runs once more, after a checkpoint has made room on a full disk. */
  retriedWhenFull: boolean
}

type UpdateJob = Job<UpdateWork>

/** An update of a batch: what it decided, and what it failed with. */
interface Attempt {
  readonly job: UpdateJob
  decision?: Decision<unknown>
  failure?: { error: unknown }
}

interface Batch {
  readonly locking: Locking
  readonly attempts: Attempt[]
  /** Host code has run in this transaction. It must not run again because another update fails. */
  hostWasCalled: boolean
  /** Set when the transaction is over before its COMMIT. */
  endedBy?: 'us' | 'sqlite' | 'host'
}

/** @param execute runs a query on the connection */
export function createGroupCommit (connection: Connection, cache: Cache, execute: (query: Query) => unknown): Queue<UpdateWork> {
  let savepointsLeft = 0
  /** A `beforeCommit` has left an iterator open, which would stop every write on the handle. */
  let hasOrphanedIterator = false
  return createQueue(connection, runBatch)

  function runBatch (queue: UpdateJob[], locking: Locking): void {
    const batch: Batch = { locking, attempts: [], hostWasCalled: false }
    const { attempts } = batch
    const end = performance.now() + maxBatchMs
    const mayShare = (): boolean => queue[0]?.work.ownTransaction === false && attempts[0]?.job.work.ownTransaction === false
    try {
      begin(locking)
      do {
        const attempt: Attempt = { job: queue.shift() as UpdateJob }
        attempts.push(attempt)
        run(attempt, batch)
      } while (batch.endedBy === undefined && mayShare() && performance.now() < end)
      if (batch.endedBy !== undefined) return settle(queue, batch)
      if (attempts.some(isGone)) {
        // It is refused when it runs again.
        rollBack()
        queue.unshift(...attempts.map(({ job }) => job))
        return
      }
      commit(attempts)
      for (const attempt of attempts) answer(attempt)
    } catch (error) {
      rollBack()
      if (connection.isBusy(error)) {
        queue.unshift(...attempts.map(({ job }) => job))
        throw error
      }
      if (attempts.length === 0) throw error
      if (mayRetry(error, attempts)) queue.unshift(...attempts.map(({ job }) => job))
      else for (const { job } of attempts) job.reject(error)
    } finally {
      if (hasOrphanedIterator) connection.ignoreIterators(false)
    }
  }

  function begin ({ isWal, hasAttached }: Locking): void {
    // BEGIN EXCLUSIVE waits for readers now, so that COMMIT never does. It would lock what is attached, too.
    const command = isWal || hasAttached ? 'BEGIN' : 'BEGIN EXCLUSIVE'
    try {
      connection.run(command)
      hasOrphanedIterator = false
    } catch (error) {
      if (!(hasOrphanedIterator && connection.isBusy(error))) throw error
      connection.ignoreIterators(true)
      connection.run(command)
    }
    cache.beginTransaction()
    // Upgrading a read transaction fails at once with SQLITE_BUSY, so busy_timeout can stay.
    if (command === 'BEGIN') connection.run('DELETE FROM main.omnichannel_migration WHERE 0')
  }

  function run (attempt: Attempt, batch: Batch): void {
    const { job } = attempt
    const isFirst = batch.attempts.length === 1
    const wantsSavepoint = savepointsLeft > 0
    if (wantsSavepoint) savepointsLeft--
    let [hasWritten, hasSavepoint, hostWasCalled] = [false, false, false]
    try {
      refuseGone(job)
      if (!isFirst) cache.revalidate()
      const { queries, decide } = job.work.prepare()
      const { writes } = attempt.decision = decide(queries.map(execute))
      refuseGone(job)
      const callsHost = writes.some((write) => 'call' in write)
      batch.hostWasCalled ||= callsHost
      // The first one's writes undo nothing of the others.
      if (callsHost || (writes.length > 0 && !isFirst && (batch.hostWasCalled || wantsSavepoint))) {
        connection.run('SAVEPOINT omnichannel_update')
        hasSavepoint = true
      }
      for (const write of writes) {
        hasWritten = true
        if ('call' in write) {
          hostWasCalled = true
          callHost(write)
          refuseGone(job)
        } else {
          execute(write)
        }
      }
      if (hasSavepoint) connection.run('RELEASE omnichannel_update')
    } catch (error) {
      attempt.failure = { error }
      const isUndone = hasSavepoint ? undoToSavepoint() : connection.inTransaction
      if (!isUndone) batch.endedBy = hostWasCalled ? 'host' : 'sqlite'
      else if (isBusy(error, batch.locking)) giveWay(batch, error)
      else if (hasWritten && !hasSavepoint) {
        rollBack()
        batch.endedBy = 'us'
        savepointsLeft = SAVEPOINTS_AFTER_FAILURE
      }
    }
  }

  function callHost ({ call }: HostCallback): void {
    cache.invalidate()
    connection.run('SAVEPOINT omnichannel_before_commit')
    const result = call(connection.native as never)
    if (result instanceof Promise) {
      // Its rejection must not end the process.
      result.catch(() => undefined)
      throw new AsyncBeforeCommitError()
    }
    try {
      connection.run('RELEASE omnichannel_before_commit')
    } catch (error) {
      throw new Error(`beforeCommit has ${connection.isBusy(error) ? 'left an iterator open' : 'ended the transaction'}`, { cause: error })
    }
  }

  /** Returns whether the savepoint was there. */
  function undoToSavepoint (): boolean {
    try {
      runWhileIterating('ROLLBACK TO omnichannel_update')
      connection.run('RELEASE omnichannel_update')
      return true
    } catch {
      return false
    }
  }

  function rollBack (): void {
    if (connection.inTransaction) runWhileIterating('ROLLBACK')
  }

  /** The host may have left an iterator open, while which better-sqlite3 runs nothing. */
  function runWhileIterating (command: string): void {
    try {
      connection.run(command)
    } catch (error) {
      if (!connection.isBusy(error)) throw error
      hasOrphanedIterator = true
      connection.ignoreIterators(true)
      connection.run(command)
    }
  }

  /** A lock on an attached file is met by triggers and by `beforeCommit`. */
  function isBusy (error: unknown, { hasAttached }: Locking): boolean {
    return hasAttached && (connection.isBusy(error) || connection.isBusy((Object(error) as { cause?: unknown }).cause))
  }

  /** The busy update waits alone, so that it does not hold up the others. */
  function giveWay ({ attempts }: Batch, error: unknown): never {
    const { job } = attempts.at(-1) as Attempt
    job.work.ownTransaction = true
    throw (Object(error) as { cause?: unknown }).cause ?? error
  }

  function commit (attempts: Attempt[]): void {
    const replies = attempts.filter(hasWrites).map(({ job }) => job.work.reply)
    for (const reply of replies) reply.lock()
    try {
      connection.run('COMMIT')
    } catch (error) {
      for (const reply of replies) reply.unlock()
      throw error
    }
  }

  /**
   * The transaction is over. If the host has committed it, all of it is committed. Else the last update fails, and the others
   * run again.
   */
  function settle (queue: UpdateJob[], { attempts, endedBy }: Batch): void {
    rollBack()
    const others = [...attempts]
    const last = others.pop() as Attempt
    const isCommitted = endedBy === 'host' && (wasCommitted(last) || others.some((attempt) => hasWrites(attempt) && wasCommitted(attempt)))
    if (isCommitted) {
      for (const attempt of others) answer(attempt)
    } else {
      if (endedBy === 'sqlite') for (const { job } of others) job.work.ownTransaction = true
      queue.unshift(...others.map(({ job }) => job))
    }
    if (endedBy === 'host' && wasCommitted(last)) last.job.resolve((last.decision as Decision<unknown>).result)
    else if (mayRetry(last.failure?.error, [last])) queue.unshift(last.job)
    else answer(last)
  }

  function wasCommitted ({ decision }: Attempt): boolean {
    const { queries, decide } = (decision as Decision<unknown>).findOutcome
    return typeof decide(queries.map(execute)) === 'object'
  }

  /** A checkpoint makes room in a WAL. */
  function mayRetry (error: unknown, attempts: Attempt[]): boolean {
    if (!connection.isFull(error) || attempts.some(({ job }) => job.work.retriedWhenFull)) return false
    for (const { job } of attempts) job.work.retriedWhenFull = true
    try {
      withoutBusyTimeout(connection, () => connection.get('PRAGMA main.wal_checkpoint(TRUNCATE)'))
      return true
    } catch {
      // The disk is too full for that as well.
      return false
    }
  }
}

function refuseGone ({ work: { reply } }: UpdateJob): void {
  if (!reply.isPending()) throw new RequestGoneError()
}

function hasWrites ({ decision, failure }: Attempt): boolean {
  return failure === undefined && decision !== undefined && decision.writes.length > 0
}

function isGone (attempt: Attempt): boolean {
  return hasWrites(attempt) && !attempt.job.work.reply.isPending()
}

function answer ({ job, decision, failure }: Attempt): void {
  if (failure !== undefined) job.reject(failure.error)
  else job.resolve((decision as Decision<unknown>).result)
}
