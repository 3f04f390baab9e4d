// The transaction that updates share. The host's `beforeCommit` may end it, or leave an iterator open on its connection.

import { randomUUID } from 'node:crypto'
import { isPromise } from 'node:util/types'
import { AsyncBeforeCommitError } from '../../errors.js'
import { toHostError, type HostCallback } from '../operation.js'
import { clearBusyTimeout, type Connection } from './connection.js'
import { saysIteratorIsOpen } from './handle.js'

/** Its name is random, so that `beforeCommit` cannot end our transaction and set the same savepoint in another one. */
const savepoint = `omnichannel_${randomUUID().replaceAll('-', '')}`
const setCommand = `SAVEPOINT ${savepoint}`
const releaseCommand = `RELEASE ${savepoint}`
const rollBackToCommand = `ROLLBACK TO ${savepoint}`

/** The transactions of a connection, one after the other. */
export class Transaction {
  /** Whether this transaction has called a `beforeCommit`. */
  hostWasCalled = false
  private restoreBusyTimeout: (() => void) | undefined
  /** Transactions begin in spite of such an iterator, because it may never be closed. */
  private beforeCommitLeftIterator = false
  /**
   * A number that is written to `temp.user_version` before the call of `beforeCommit`. It shows how `beforeCommit` has ended the transaction:
   * COMMIT keeps the number, and ROLLBACK restores the previous one. A row in the file would not do: another process could lock it.
   */
  private mark = 0

  constructor (private readonly connection: Connection) {}

  /** Fails as busy while the host has an iterator open on the handle, unless a `beforeCommit` has left it open. */
  begin (command: 'BEGIN' | 'BEGIN EXCLUSIVE'): void {
    const { connection } = this
    this.hostWasCalled = false
    try {
      connection.begin(command)
      this.beforeCommitLeftIterator = false
    } catch (error) {
      if (!(this.beforeCommitLeftIterator && saysIteratorIsOpen(error))) throw error
      connection.ignoreIterators(true)
      // RELEASE fails as busy while a statement of the host, such as INSERT … RETURNING, is writing rows that our ROLLBACK would undo.
      connection.exec('SAVEPOINT omnichannel_begin; RELEASE omnichannel_begin')
      connection.begin(command)
    }
  }

  setSavepoint (): void {
    this.connection.run(setCommand)
  }

  /** Must be called after `setSavepoint`. */
  callBeforeCommit (call: HostCallback): void {
    const { connection } = this
    // The host may attach a file. Its statements and our COMMIT would sleep on the lock of that file.
    this.restoreBusyTimeout ??= clearBusyTimeout(connection)
    this.mark = (this.readMark() + 1) % 2 ** 31
    connection.exec(`PRAGMA temp.user_version = ${this.mark}`)
    this.hostWasCalled = true
    let isAsync: boolean
    try {
      const result = call(connection.native as never) as PromiseLike<unknown> | undefined | null
      // Do not call `then`: a query builder would run its query, after our ROLLBACK.
      isAsync = typeof result?.then === 'function'
      // An unhandled rejection would end the process.
      if (isPromise(result)) result.catch(() => undefined)
    } catch (thrown) {
      throw toHostError(thrown)
    }
    if (isAsync) throw new AsyncBeforeCommitError()
  }

  /** Fails if `beforeCommit` has left an iterator open or ended the transaction. */
  releaseSavepoint (): void {
    const { connection } = this
    try {
      connection.run(releaseCommand)
    } catch (error) {
      if (!this.hostWasCalled) throw error
      throw new Error(`beforeCommit has ${connection.isBusy(error) ? 'left an iterator open' : 'ended the transaction'}`, { cause: error })
    }
  }

  /** Returns whether the transaction is still open. If it has ended, the savepoint is gone. */
  rollBackToSavepoint (): boolean {
    try {
      this.runDespiteIterators(rollBackToCommand)
      this.releaseSavepoint()
      return true
    } catch {
      return false
    }
  }

  /** Whether `beforeCommit` has committed the transaction. Must be called after the transaction has ended without our COMMIT. */
  isCommittedByHost (): boolean {
    return this.hostWasCalled && this.readMark() === this.mark
  }

  rollBack (): void {
    if (this.connection.inTransaction) this.runDespiteIterators('ROLLBACK')
  }

  /** Must be called after each transaction, also if it could not begin. */
  cleanUp (): void {
    this.restoreBusyTimeout?.()
    this.restoreBusyTimeout = undefined
    this.connection.ignoreIterators(false)
    this.beforeCommitLeftIterator ||= this.hostWasCalled && this.connection.hasNonBlockingIterator()
  }

  private readMark (): number {
    const [mark] = this.connection.get('PRAGMA temp.user_version') as [number]
    return mark
  }

  /** Runs a command even if the host has left an iterator open. */
  private runDespiteIterators (command: string): void {
    try {
      this.connection.run(command)
    } catch (error) {
      if (!saysIteratorIsOpen(error)) throw error
      this.beforeCommitLeftIterator = true
      this.connection.ignoreIterators(true)
      this.connection.run(command)
    }
  }
}
