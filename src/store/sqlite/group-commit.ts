// Updates that wait together share one transaction and one COMMIT. They are answered after it. A lone update does not wait for others:
// it runs in the next setImmediate.
//
// A refused update has written nothing. If an update fails after it has written, the whole transaction is rolled back, and the others run
// again. The next updates then have savepoints. An update with a `beforeCommit` always has one, so that it can be undone alone.

import { timeCommit } from '../../diagnostics.js'
import { RequestGoneError } from '../../errors.js'
import type { Decision, Query, Update } from '../operation.js'
import type { Reply } from '../store.js'
import type { Cache } from './cache.js'
import { commit, hasAttached, withoutBusyTimeout, type Connection, type Locking } from './connection.js'
import { createQueue, maxBatchMs, type Job } from './queue.js'
import { Transaction } from './transaction.js'

/** After an update has written and then failed, this many updates get savepoints. */
const SAVEPOINTS_AFTER_FAILURE = 1000

export interface UpdateWork {
  readonly prepare: () => Update<unknown>
  readonly reply: Reply
  /** Runs alone, because a transaction that it shared was ended or met a lock. */
  ownTransaction: boolean
  /** Runs once more, after a checkpoint has made room on a full disk. */
  retriedWhenFull: boolean
}

type UpdateJob = Job<UpdateWork>

/** An update of a batch: what it decided, and what it failed with. */
interface Attempt {
  readonly job: UpdateJob
  decision?: Decision<unknown>
  failure?: { error: unknown } | undefined
}

/** @param execute runs a query on the connection */
export function createGroupCommit (connection: Connection, cache: Cache, execute: (query: Query) => unknown) {
  const transaction = new Transaction(connection)
  let savepointsLeft = 0

  function runBatch (queue: UpdateJob[], locking: Locking): void {
    const attempts: Attempt[] = []
    const end = performance.now() + maxBatchMs
    const mayShare = (): boolean => queue[0]?.work.ownTransaction === false && attempts[0]?.job.work.ownTransaction === false
    const runAgain = (): void => { queue.unshift(...attempts.map(({ job }) => job)) }
    try {
      begin(locking)
      let isOpen = true
      do {
        attempts.push({ job: queue.shift() as UpdateJob })
        isOpen = runLast(queue, attempts)
      } while (isOpen && mayShare() && performance.now() < end)

      if (!isOpen) {
        settle(queue, attempts)
      } else if (attempts.some((attempt) => hasWrites(attempt) && !attempt.job.work.reply.isPending())) {
        // One of them was answered meanwhile, and may no longer write. It is refused when it runs again.
        transaction.rollBack()
        runAgain()
      } else {
        commitBatch(attempts)
        for (const attempt of attempts) answer(attempt)
      }
    } catch (error) {
      transaction.rollBack()
      if (connection.isBusy(error)) {
        runAgain()
        throw error
      }
      if (attempts.length === 0) throw error
      if (makeRoom(error, attempts)) {
        runAgain()
      } else if (attempts.length === 1) {
        attempts[0]?.job.reject(error)
      } else {
        // COMMIT has failed, as it does for a deferred constraint. Alone, only the update that broke it fails.
        for (const { job } of attempts) job.work.ownTransaction = true
        runAgain()
      }
    } finally {
      transaction.cleanUp()
    }
  }

  function begin (locking: Locking): void {
    transaction.begin(locking)
    cache.beginTransaction()
    // Takes the write lock. Upgrading a read transaction fails at once with SQLITE_BUSY, so busy_timeout can stay.
    if (locking.isWal || locking.hasAttached) connection.run('DELETE FROM main.omnichannel_migration WHERE 0')
  }

  /**
   * Runs the last update of the batch. Its error becomes `attempt.failure`, unless the update waits for a lock and runs again. Returns
   * whether the transaction is still open.
   */
  function runLast (queue: UpdateJob[], attempts: Attempt[]): boolean {
    const attempt = attempts.at(-1) as Attempt
    const { job } = attempt
    const isFirst = attempts.length === 1
    const wantsSavepoint = savepointsLeft > 0
    if (wantsSavepoint) savepointsLeft--
    let [hasWritten, hasSavepoint] = [false, false]
    try {
      throwIfGone(job)
      if (!isFirst) cache.revalidate()
      const { queries, decide } = job.work.prepare()
      const { writes, beforeCommit } = attempt.decision = decide(queries.map(execute))
      throwIfGone(job)
      const callsHost = beforeCommit !== undefined
      // The first update needs no savepoint: no other update would be lost with it. After a host callback each update has one, because
      // the callback must not run again when a later update fails.
      if (callsHost || (writes.length > 0 && !isFirst && (transaction.hostWasCalled || wantsSavepoint))) {
        transaction.beginUpdate()
        hasSavepoint = true
      }
      for (const write of writes) {
        hasWritten = true
        execute(write)
      }
      if (callsHost) {
        cache.invalidate()
        transaction.callHost(beforeCommit)
        throwIfGone(job)
      }
      if (hasSavepoint) transaction.endUpdate()
    } catch (error) {
      attempt.failure = { error }
      const isUndone = hasSavepoint ? transaction.undoUpdate() : connection.inTransaction
      if (!isUndone) {
        // SQLite or the host callback has ended the transaction, and may do so again.
        for (const { job } of attempts) job.work.ownTransaction = true
        return false
      }
      if (isBusy(error) && hasAttached(connection)) {
        // A trigger or a host callback has met the lock of an attached file. The update waits alone, and behind the others, so that no other
        // update waits for it.
        job.work.ownTransaction = true
        attempts.pop()
        queue.push(job)
        throw (Object(error) as { cause?: unknown }).cause ?? error
      }
      if (hasWritten && !hasSavepoint) {
        transaction.rollBack()
        savepointsLeft = SAVEPOINTS_AFTER_FAILURE
        return false
      }
    }
    return true
  }

  function isBusy (error: unknown): boolean {
    return connection.isBusy(error) || connection.isBusy((Object(error) as { cause?: unknown }).cause)
  }

  function commitBatch (attempts: Attempt[]): void {
    const replies = attempts.filter(hasWrites).map(({ job }) => job.work.reply)
    for (const reply of replies) reply.lock(replies.length)
    const publishCommit = timeCommit('sqlite', replies.length)
    try {
      commit(connection)
    } catch (error) {
      if (!isCommitted(attempts)) {
        for (const reply of replies) reply.unlock()
        throw error
      }
    }
    publishCommit()
  }

  /** After COMMIT has failed. With a WAL, SQLite commits `main` first: it may be committed although an attached file failed. */
  function isCommitted (attempts: Attempt[]): boolean {
    const last = attempts.findLast(hasWrites)
    if (connection.inTransaction || last === undefined) return false
    try {
      const { queries, decide } = (last.decision as Decision<unknown>).findOutcome
      return typeof decide(queries.map(execute)) === 'object'
    } catch {
      // If the disk cannot be read, this is not known.
      return false
    }
  }

  /** After the last update has ended the transaction: all are answered if a host callback has committed it. Otherwise the others run again. */
  function settle (queue: UpdateJob[], attempts: Attempt[]): void {
    transaction.rollBack()
    const others = attempts.slice(0, -1)
    const last = attempts.at(-1) as Attempt
    if (transaction.isCommittedByHost()) {
      last.failure = undefined
      for (const attempt of attempts) answer(attempt)
      return
    }
    queue.unshift(...others.map(({ job }) => job))
    if (makeRoom(last.failure?.error, [last])) queue.unshift(last.job)
    else answer(last)
  }

  /** If the disk may be full, makes room by moving the WAL into the file, once for each update. Returns whether they can run again. */
  function makeRoom (error: unknown, attempts: Attempt[]): boolean {
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

  return createQueue(connection, runBatch)
}

function throwIfGone ({ work: { reply } }: UpdateJob): void {
  if (!reply.isPending()) throw new RequestGoneError()
}

function hasWrites ({ decision, failure }: Attempt): boolean {
  return failure === undefined && decision !== undefined && decision.writes.length > 0
}

function answer ({ job, decision, failure }: Attempt): void {
  if (failure !== undefined) job.reject(failure.error)
  else job.resolve((decision as Decision<unknown>).result)
}
