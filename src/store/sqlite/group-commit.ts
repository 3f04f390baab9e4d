// Updates that wait together share one transaction and one COMMIT. They are answered after it. A lone update does not wait for others:
// it runs in the next setImmediate.
//
// An update that is refused has written nothing, so the others go on. If an update fails after it has written, the whole transaction is
// rolled back, and the others run again. After such a failure, updates have savepoints. An update with a `beforeCommit` always has one.
//
// COMMIT always returns. If it fails, perhaps only the commit of an attached file has failed. So `isCommitted` looks up whether the updates
// are in `main`. If they are, all updates are answered as committed. If not, they run again or fail.

import { startCommitTimer } from '../../diagnostics.js'
import type { Decision, Query, Update } from '../operation.js'
import { throwIfGone, type ReplyGuard } from '../store.js'
import type { Cache } from './cache.js'
import { commit, hasAttached, withoutBusyTimeout, type Connection } from './connection.js'
import { createQueue, maxBatchMs, type Job } from './queue.js'
import { Transaction } from './transaction.js'

/** How many updates have a savepoint after one has failed and undone the work of the others. */
const SAVEPOINTS_AFTER_FAILURE = 1000

interface UpdateWork {
  readonly prepare: () => Update<unknown>
  readonly guard: ReplyGuard
  /** Whether it must run in a transaction of its own, because a shared one has failed, was ended or met a lock. */
  ownTransaction: boolean
  /** Whether it has run again after the disk was full. It runs again only once. */
  retriedWhenFull: boolean
  /** Its decision in the current transaction. */
  decision: Decision<unknown> | undefined
  /** Its error in the current transaction. */
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
    const nextMayJoin = (): boolean => queue[0]?.work.ownTransaction === false && batch[0]?.work.ownTransaction === false
    const requeue = (): void => { queue.unshift(...batch) }
    try {
      begin(exclusive)
      let isOpen = true
      do {
        batch.push(queue.shift() as UpdateJob)
        isOpen = runLast(queue, batch)
      } while (isOpen && nextMayJoin() && performance.now() < end)

      if (!isOpen) {
        endWithoutCommit(queue, batch)
      } else if (batch.some((job) => hasWrites(job) && !job.work.guard.isPending())) {
        // Other code has answered a request meanwhile, so its update must not be committed. It is refused when the batch runs again.
        transaction.rollBack()
        requeue()
      } else {
        commitBatch(batch)
        for (const job of batch) answer(job)
      }
    } catch (error) {
      transaction.rollBack()
      if (connection.isBusy(error)) {
        requeue()
        throw error
      }
      // BEGIN has failed. The queue rejects the jobs.
      if (batch.length === 0) throw error
      if (makeRoomOnFullDisk(error, batch)) {
        requeue()
      } else if (batch.length === 1) {
        batch[0]?.reject(error)
      } else {
        // COMMIT has failed, as it does for a deferred constraint. In transactions of their own, only the update that breaks it fails.
        for (const { work } of batch) work.ownTransaction = true
        requeue()
      }
    } finally {
      transaction.cleanUp()
    }
  }

  function begin (exclusive: boolean): void {
    transaction.begin(exclusive ? 'BEGIN EXCLUSIVE' : 'BEGIN')
    cache.beginTransaction()
    // Takes the write lock without changing anything. Upgrading the read transaction that the cache has begun fails at once with SQLITE_BUSY,
    // so busy_timeout can stay.
    if (!exclusive) connection.run('DELETE FROM main.omnichannel_migration WHERE 0')
  }

  /** Runs the last update of the batch, and stores its decision or failure. Returns whether the transaction is still open. */
  function runLast (queue: UpdateJob[], batch: UpdateJob[]): boolean {
    const { work } = batch.at(-1) as UpdateJob
    const isFirst = batch.length === 1
    const isSoonAfterFailure = savepointsLeft > 0
    if (isSoonAfterFailure) savepointsLeft--
    let hasWritten = false
    let hasSavepoint = false
    work.decision = work.failure = undefined
    try {
      throwIfGone(work.guard)
      if (!isFirst) cache.revalidate()
      const { queries, decide } = work.prepare()
      const { writes, beforeCommit } = work.decision = decide(queries.map(execute))
      throwIfGone(work.guard)
      // A savepoint keeps a failure of this update from undoing the updates before it. If one of them has called a `beforeCommit`, that would
      // run again. With a `beforeCommit` of its own, the update needs a savepoint to notice that the transaction was ended.
      const protectsOthers = writes.length > 0 && !isFirst && (transaction.hostWasCalled || isSoonAfterFailure)
      if (protectsOthers || beforeCommit !== undefined) {
        transaction.setSavepoint()
        hasSavepoint = true
      }
      hasWritten = writes.length > 0
      for (const write of writes) {
        // With node:sqlite, an SQL function that a trigger of the host's calls can roll back. Each later write would be committed alone.
        if (cache.mustCheckWrites() && !connection.inTransaction) throw new Error('Code of the host has ended the transaction')
        execute(write)
      }
      if (beforeCommit !== undefined) {
        cache.invalidate()
        transaction.callBeforeCommit(beforeCommit)
        throwIfGone(work.guard)
      }
      if (hasSavepoint) transaction.releaseSavepoint()
      return true
    } catch (error) {
      work.failure = { error }
      const isOpen = hasSavepoint ? transaction.rollBackToSavepoint() : connection.inTransaction
      if (!isOpen) {
        // SQLite or `beforeCommit` has ended the transaction, and may do so again.
        for (const { work } of batch) work.ownTransaction = true
        return false
      }
      throwIfLocked(error, queue, batch)
      if (!hasWritten || hasSavepoint) return true
      transaction.rollBack()
      savepointsLeft = SAVEPOINTS_AFTER_FAILURE
      return false
    }
  }

  /** If an attached file is locked, moves the last update behind all others, which need not wait for the lock. Then throws the error. */
  function throwIfLocked (error: unknown, queue: UpdateJob[], batch: UpdateJob[]): void {
    // A trigger throws the error of the lock as it is. An error of `beforeCommit` has it as its cause.
    const { cause } = Object(error) as { cause?: unknown }
    const lockError = [error, cause].find((each) => connection.isBusy(each) && hasAttached(connection)) as Error | undefined
    if (lockError === undefined) return
    const job = batch.pop() as UpdateJob
    job.work.ownTransaction = true
    queue.push(job)
    throw lockError
  }

  function commitBatch (batch: UpdateJob[]): void {
    const guards = batch.filter(hasWrites).map(({ work }) => work.guard)
    for (const guard of guards) guard.lock(guards.length)
    const publishCommit = startCommitTimer('sqlite', guards.length)
    try {
      commit(connection)
    } catch (error) {
      if (!isCommitted(batch)) {
        for (const guard of guards) guard.unlock()
        throw error
      }
    }
    publishCommit()
  }

  /** Looks up, after COMMIT has failed, whether the updates are in `main`. With a WAL, SQLite commits `main` before attached files. */
  function isCommitted (batch: UpdateJob[]): boolean {
    const outcome = batch.findLast(hasWrites)?.work.decision?.outcome
    if (connection.inTransaction || outcome === undefined) return false
    try {
      return typeof outcome.decide(outcome.queries.map(execute)) === 'object'
    } catch {
      // The disk cannot be read.
      return false
    }
  }

  /** If `beforeCommit` has committed the transaction, answers all updates. Otherwise answers the last update, and the others run again. */
  function endWithoutCommit (queue: UpdateJob[], batch: UpdateJob[]): void {
    transaction.rollBack()
    const last = batch.at(-1) as UpdateJob
    if (transaction.isCommittedByHost()) {
      last.work.failure = undefined
      for (const job of batch) answer(job)
      return
    }
    queue.unshift(...batch.slice(0, -1))
    if (makeRoomOnFullDisk(last.work.failure?.error, [last])) queue.unshift(last)
    else answer(last)
  }

  /** If the disk may be full, moves the WAL into the file to make room, once for each update. Returns whether the updates can run again. */
  function makeRoomOnFullDisk (error: unknown, jobs: UpdateJob[]): boolean {
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

  const { enqueue, drain } = createQueue(connection, runBatch)
  return {
    drain,
    enqueue: async <Result>(prepare: () => Update<Result>, guard: ReplyGuard, timeoutMs: number) => {
      const work = { prepare, guard, ownTransaction: false, retriedWhenFull: false, decision: undefined, failure: undefined }
      return await enqueue(work, timeoutMs) as Result
    }
  }
}

function hasWrites ({ work: { decision, failure } }: UpdateJob): boolean {
  return failure === undefined && decision !== undefined && decision.writes.length > 0
}

function answer ({ work: { decision, failure }, resolve, reject }: UpdateJob): void {
  if (failure !== undefined) reject(failure.error)
  else resolve((decision as Decision<unknown>).result)
}
