// Updates that wait together share one transaction and one COMMIT. They are answered after it. A lone update does not wait for others:
// it runs in the next setImmediate.
//
// A refused update has written nothing. If an update fails after it has written, the whole transaction is rolled back, and the others run
// again. The next updates then have savepoints. An update with a `beforeCommit` always has one, so that it can be undone alone.

import { timeCommit } from '../../diagnostics.js'
import type { Decision, Query, Update } from '../operation.js'
import { throwIfGone, type Reply } from '../store.js'
import type { Cache } from './cache.js'
import { commit, hasAttached, withoutBusyTimeout, type Connection } from './connection.js'
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
  /** What the update has decided in this transaction. */
  decision: Decision<unknown> | undefined
  /** What it has failed with in this transaction. */
  failure: { error: unknown } | undefined
}

type UpdateJob = Job<UpdateWork>

/** @param execute runs a query on the connection */
export function createGroupCommit (connection: Connection, cache: Cache, execute: (query: Query) => unknown) {
  const transaction = new Transaction(connection)
  let savepointsLeft = 0

  function runBatch (queue: UpdateJob[], exclusive: boolean): void {
    const batch: UpdateJob[] = []
    const end = performance.now() + maxBatchMs
    const mayShare = (): boolean => queue[0]?.work.ownTransaction === false && batch[0]?.work.ownTransaction === false
    const runAgain = (): void => { queue.unshift(...batch) }
    try {
      begin(exclusive)
      let isOpen = true
      do {
        batch.push(queue.shift() as UpdateJob)
        isOpen = runLast(queue, batch)
      } while (isOpen && mayShare() && performance.now() < end)

      if (!isOpen) {
        settle(queue, batch)
      } else if (batch.some((job) => hasWrites(job) && !job.work.reply.isPending())) {
        // One of them was answered meanwhile, and may no longer write. It is refused when it runs again.
        transaction.rollBack()
        runAgain()
      } else {
        commitBatch(batch)
        for (const job of batch) answer(job)
      }
    } catch (error) {
      transaction.rollBack()
      if (connection.isBusy(error)) {
        runAgain()
        throw error
      }
      if (batch.length === 0) throw error
      if (makeRoom(error, batch)) {
        runAgain()
      } else if (batch.length === 1) {
        batch[0]?.reject(error)
      } else {
        // COMMIT has failed, as it does for a deferred constraint. Alone, only the update that broke it fails.
        for (const { work } of batch) work.ownTransaction = true
        runAgain()
      }
    } finally {
      transaction.cleanUp()
    }
  }

  function begin (exclusive: boolean): void {
    transaction.begin(exclusive ? 'BEGIN EXCLUSIVE' : 'BEGIN')
    cache.beginTransaction()
    // Takes the write lock. Upgrading a read transaction fails at once with SQLITE_BUSY, so busy_timeout can stay.
    if (!exclusive) connection.run('DELETE FROM main.omnichannel_migration WHERE 0')
  }

  /**
   * Runs the last update of the batch. Its error becomes `work.failure`, unless the update waits for a lock and runs again. Returns
   * whether the transaction is still open.
   */
  function runLast (queue: UpdateJob[], batch: UpdateJob[]): boolean {
    const job = batch.at(-1) as UpdateJob
    const { work } = job
    const isFirst = batch.length === 1
    const wantsSavepoint = savepointsLeft > 0
    if (wantsSavepoint) savepointsLeft--
    let [hasWritten, hasSavepoint] = [false, false]
    work.decision = work.failure = undefined
    try {
      throwIfGone(work.reply)
      if (!isFirst) cache.revalidate()
      const { queries, decide } = work.prepare()
      const { writes, beforeCommit } = work.decision = decide(queries.map(execute))
      throwIfGone(work.reply)
      const callsHost = beforeCommit !== undefined
      // The first update needs no savepoint: no other update would be lost with it. After a host callback each update has one, because
      // the callback must not run again when a later update fails.
      if (callsHost || (writes.length > 0 && !isFirst && (transaction.hostWasCalled || wantsSavepoint))) {
        transaction.beginUpdate()
        hasSavepoint = true
      }
      hasWritten = writes.length > 0
      for (const write of writes) execute(write)
      if (callsHost) {
        cache.invalidate()
        transaction.callHost(beforeCommit)
        throwIfGone(work.reply)
      }
      if (hasSavepoint) transaction.endUpdate()
    } catch (error) {
      work.failure = { error }
      const isUndone = hasSavepoint ? transaction.undoUpdate() : connection.inTransaction
      if (!isUndone) {
        // SQLite or the host callback has ended the transaction, and may do so again.
        for (const { work } of batch) work.ownTransaction = true
        return false
      }
      const { cause } = Object(error) as { cause?: unknown }
      const lockError = [error, cause].find((each) => connection.isBusy(each)) as Error | undefined
      if (lockError !== undefined && hasAttached(connection)) {
        // A trigger or a host callback has met the lock of an attached file. The update waits alone, and behind the others, so that no other
        // update waits for it.
        work.ownTransaction = true
        batch.pop()
        queue.push(job)
        throw lockError
      }
      if (hasWritten && !hasSavepoint) {
        transaction.rollBack()
        savepointsLeft = SAVEPOINTS_AFTER_FAILURE
        return false
      }
    }
    return true
  }

  function commitBatch (batch: UpdateJob[]): void {
    const replies = batch.filter(hasWrites).map(({ work }) => work.reply)
    for (const reply of replies) reply.lock(replies.length)
    const publishCommit = timeCommit('sqlite', replies.length)
    try {
      commit(connection)
    } catch (error) {
      if (!isCommitted(batch)) {
        for (const reply of replies) reply.unlock()
        throw error
      }
    }
    publishCommit()
  }

  /** After COMMIT has failed. With a WAL, SQLite commits `main` first: it may be committed although an attached file failed. */
  function isCommitted (batch: UpdateJob[]): boolean {
    const last = batch.findLast(hasWrites)
    if (connection.inTransaction || last === undefined) return false
    try {
      const { queries, decide } = (last.work.decision as Decision<unknown>).findOutcome
      return typeof decide(queries.map(execute)) === 'object'
    } catch {
      // If the disk cannot be read, this is not known.
      return false
    }
  }

  /** After the last update has ended the transaction: all are answered if a host callback has committed it. Otherwise the others run again. */
  function settle (queue: UpdateJob[], batch: UpdateJob[]): void {
    transaction.rollBack()
    const last = batch.at(-1) as UpdateJob
    if (transaction.isCommittedByHost()) {
      last.work.failure = undefined
      for (const job of batch) answer(job)
      return
    }
    queue.unshift(...batch.slice(0, -1))
    if (makeRoom(last.work.failure?.error, [last])) queue.unshift(last)
    else answer(last)
  }

  /** If the disk may be full, makes room by moving the WAL into the file, once for each update. Returns whether they can run again. */
  function makeRoom (error: unknown, jobs: UpdateJob[]): boolean {
    if (!connection.isFull(error) || jobs.some(({ work }) => work.retriedWhenFull)) return false
    for (const { work } of jobs) work.retriedWhenFull = true
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

function hasWrites ({ work: { decision, failure } }: UpdateJob): boolean {
  return failure === undefined && decision !== undefined && decision.writes.length > 0
}

function answer ({ work: { decision, failure }, resolve, reject }: UpdateJob): void {
  if (failure !== undefined) reject(failure.error)
  else resolve((decision as Decision<unknown>).result)
}
