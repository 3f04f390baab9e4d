// The transaction that updates share, and what a host callback may do to it: end it, or leave an iterator open.

import { randomUUID } from 'node:crypto'
import { isPromise } from 'node:util/types'
import { AsyncBeforeCommitError } from '../../errors.js'
import { toHostError, type HostCallback } from '../operation.js'
import { clearBusyTimeout, type Connection } from './connection.js'
import { saysIteratorIsOpen } from './handle.js'

/** Random: a host callback that knew the name could end our transaction and set the same savepoint in another one. */
const savepoint = `omnichannel_${randomUUID().replaceAll('-', '')}`
const setCommand = `SAVEPOINT ${savepoint}`
const releaseCommand = `RELEASE ${savepoint}`
const rollBackToCommand = `ROLLBACK TO ${savepoint}`

/** One object serves all transactions of a connection, one after the other. */
export class Transaction {
  hostWasCalled = false
  private restoreBusyTimeout: (() => void) | undefined
  /** Whether a host callback has left an iterator open. Transactions begin in spite of it, or the queue would stop. */
  private hasOrphanedIterator = false
  /**
   * A number that is written to `temp.user_version` before a host callback. It tells whether the callback has committed: COMMIT keeps it,
   * ROLLBACK restores the previous one. A row of our own could not always be read, because another process may have locked the file.
   */
  private mark = 0

  constructor (private readonly connection: Connection) {}

  /** Fails as busy while the host has an iterator open on the handle, unless a host callback has left it open. */
  begin (command: 'BEGIN' | 'BEGIN EXCLUSIVE'): void {
    const { connection } = this
    this.hostWasCalled = false
    try {
      connection.begin(command)
      this.hasOrphanedIterator = false
    } catch (error) {
      if (!(this.hasOrphanedIterator && saysIteratorIsOpen(error))) throw error
      connection.ignoreIterators(true)
      // RELEASE fails as busy while a statement that writes is open, such as INSERT … RETURNING. Our ROLLBACK would undo its rows.
      connection.exec('SAVEPOINT omnichannel_begin; RELEASE omnichannel_begin')
      connection.begin(command)
    }
  }

  setSavepoint (): void {
    this.connection.run(setCommand)
  }

  /** Must be called after `setSavepoint`. */
  callHost (call: HostCallback): void {
    const { connection } = this
    // The host may attach a file. Its statements and our COMMIT would sleep on the lock of that file.
    this.restoreBusyTimeout ??= clearBusyTimeout(connection)
    this.mark = (this.readMark() + 1) % 2 ** 31
    connection.exec(`PRAGMA temp.user_version = ${this.mark}`)
    this.hostWasCalled = true
    let isAsync: boolean
    try {
      const result = call(connection.native as never) as PromiseLike<unknown> | undefined | null
      // `then` is not called: that of a query builder would run the query, after our ROLLBACK.
      isAsync = typeof result?.then === 'function'
      // A rejection must not end the process.
      if (isPromise(result)) result.catch(() => undefined)
    } catch (thrown) {
      throw toHostError(thrown)
    }
    if (isAsync) throw new AsyncBeforeCommitError()
  }

  /** Fails if a host callback has left an iterator open or ended the transaction. */
  releaseSavepoint (): void {
    const { connection } = this
    try {
      connection.run(releaseCommand)
    } catch (error) {
      if (!this.hostWasCalled) throw error
      throw new Error(`beforeCommit has ${connection.isBusy(error) ? 'left an iterator open' : 'ended the transaction'}`, { cause: error })
    }
  }

  /** Returns false if the savepoint is gone, because the transaction was ended. */
  rollBackToSavepoint (): boolean {
    try {
      this.runDespiteIterators(rollBackToCommand)
      this.releaseSavepoint()
      return true
    } catch {
      return false
    }
  }

  /** Whether a host callback has committed. Ask only after the transaction has ended without our COMMIT. */
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
    this.hasOrphanedIterator ||= this.hostWasCalled && this.connection.hasSilentIterator()
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
      this.hasOrphanedIterator = true
      this.connection.ignoreIterators(true)
      this.connection.run(command)
    }
  }
}
