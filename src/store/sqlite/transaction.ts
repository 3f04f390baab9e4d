// The transaction that updates share, and what a host callback may do to it: end it, or leave an iterator open.

import { randomUUID } from 'node:crypto'
import { AsyncBeforeCommitError } from '../../errors.js'
import { toHostError, type HostCallback } from '../operation.js'
import { clearBusyTimeout, type Connection } from './connection.js'
import { saysIteratorIsOpen } from './handle.js'

/** A host callback that ends the transaction could begin another one with a savepoint of a known name. */
const secretName = `omnichannel_${randomUUID().replaceAll('-', '')}`
const setSavepoint = `SAVEPOINT ${secretName}`
const releaseSavepoint = `RELEASE ${secretName}`
const rollBackToSavepoint = `ROLLBACK TO ${secretName}`

/** One object for all transactions of a connection, one after the other. */
export class Transaction {
  hostWasCalled = false
  private restoreBusyTimeout: (() => void) | undefined
  /** A host callback has left an iterator open. It must not stop the queue. */
  private hasOrphanedIterator = false
  /**
   * A number in `temp.user_version`. It tells whether a host callback has committed: COMMIT keeps it, and ROLLBACK restores the one before.
   * Our own tables could not always be asked, because another process may have locked them.
   */
  private mark = 0

  constructor (private readonly connection: Connection) {}

  /** Fails as busy while the host has an iterator open on the handle. */
  begin (command: 'BEGIN' | 'BEGIN EXCLUSIVE'): void {
    const { connection } = this
    this.hostWasCalled = false
    try {
      connection.begin(command)
      this.hasOrphanedIterator = false
    } catch (error) {
      if (!(this.hasOrphanedIterator && saysIteratorIsOpen(error))) throw error
      connection.ignoreIterators(true)
      // Fails as busy while a statement that writes is open. Our ROLLBACK would undo what it wrote.
      connection.exec('SAVEPOINT omnichannel_begin; RELEASE omnichannel_begin')
      connection.begin(command)
    }
  }

  /** Sets the savepoint of an update. */
  beginUpdate (): void {
    this.connection.run(setSavepoint)
  }

  /** Calls the host in an update that has a savepoint. */
  callHost (call: HostCallback): void {
    const { connection } = this
    // The host may attach a file, on whose lock its statements and our COMMIT would sleep.
    this.restoreBusyTimeout ??= clearBusyTimeout(connection)
    this.mark = (this.readMark() + 1) % 2 ** 31
    connection.exec(`PRAGMA temp.user_version = ${this.mark}`)
    this.hostWasCalled = true
    let isAsync: boolean
    try {
      const result = call(connection.native as never) as PromiseLike<unknown> | undefined | null
      // Its `then` is not called: a query builder has one that runs the query, after our ROLLBACK.
      isAsync = typeof result?.then === 'function'
      // Its rejection must not end the process.
      if (result instanceof Promise) result.catch(() => undefined)
    } catch (thrown) {
      throw toHostError(thrown)
    }
    if (isAsync) throw new AsyncBeforeCommitError()
  }

  /** Releases the savepoint of an update. Fails if a host callback has left an iterator open or ended the transaction. */
  endUpdate (): void {
    const { connection } = this
    try {
      connection.run(releaseSavepoint)
    } catch (error) {
      if (!this.hostWasCalled) throw error
      throw new Error(`beforeCommit has ${connection.isBusy(error) ? 'left an iterator open' : 'ended the transaction'}`, { cause: error })
    }
  }

  /** Rolls back to the savepoint of an update. Returns false if it is gone, because the transaction was ended. */
  undoUpdate (): boolean {
    try {
      this.runDespiteIterators(rollBackToSavepoint)
      this.endUpdate()
      return true
    } catch {
      return false
    }
  }

  /** After the transaction has ended, but not by our COMMIT: whether a host callback has committed it. */
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

  /** Runs a command that must not wait until an iterator is closed. */
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
