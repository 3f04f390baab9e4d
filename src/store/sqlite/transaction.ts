// The transaction that updates share, and what a host callback may do to it: end it, or leave an iterator open.

import { AsyncBeforeCommitError } from '../../errors.js'
import type { HostCallback } from '../operation.js'
import { clearBusyTimeout, type Connection, type Locking } from './connection.js'
import { saysIteratorIsOpen } from './handle.js'

/** One object for all transactions of a connection, one after the other. */
export class Transaction {
  hostWasCalled = false
  private restoreBusyTimeout: (() => void) | undefined
  /** A host callback has left an iterator open. It must not stop the queue. */
  private hasOrphanedIterator = false
  // A mark is a number in `temp.user_version`. It tells what a host callback has committed: COMMIT keeps it, and ROLLBACK restores the one
  // before. Our own tables could not always be asked, because another process may have locked them.
  /** Before the first callback. */
  private markBefore = 0
  /** At the savepoint of the current update. */
  private updateMark = 0
  private lastMark = 0

  constructor (private readonly connection: Connection) {}

  /** Fails as busy while the host has an iterator open on the handle. */
  begin ({ isWal, hasAttached }: Locking): void {
    const { connection } = this
    this.hostWasCalled = false
    // BEGIN EXCLUSIVE waits for readers now, so that COMMIT never does. It would lock what is attached, too.
    const command = isWal || hasAttached ? 'BEGIN' : 'BEGIN EXCLUSIVE'
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
  beginUpdate (callsHost: boolean): void {
    if (callsHost) {
      if (!this.hostWasCalled) {
        this.markBefore = this.lastMark = this.readMark()
        // The host may attach a file, on whose lock its statements and our COMMIT would sleep.
        this.restoreBusyTimeout = clearBusyTimeout(this.connection)
      }
      this.hostWasCalled = true
      this.writeMark()
      this.updateMark = this.lastMark
    }
    this.connection.run('SAVEPOINT omnichannel_update')
  }

  endUpdate (): void {
    this.connection.run('RELEASE omnichannel_update')
  }

  /** Rolls back to the savepoint of the update. Returns false if it is gone, because the transaction was ended. */
  undoUpdate (): boolean {
    try {
      // A host callback may have rolled back, and set savepoints with our names.
      if (this.hostWasCalled && ![this.updateMark, this.lastMark].includes(this.readMark())) return false
      this.runDespiteIterators('ROLLBACK TO omnichannel_update')
      this.endUpdate()
      return true
    } catch {
      return false
    }
  }

  callHost (call: HostCallback): void {
    const { connection } = this
    this.writeMark()
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
    if (this.readMark() !== this.lastMark) throw new Error('beforeCommit has rolled back the update')
  }

  /** After the last update has ended the transaction: whether a host callback has committed it, and the updates before it. */
  findCommitted (): { last: boolean, others: boolean } {
    if (!this.hostWasCalled) return { last: false, others: false }
    const mark = this.readMark()
    return { last: mark === this.lastMark, others: mark !== this.markBefore }
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

  private writeMark (): void {
    this.lastMark = (this.lastMark + 1) % 2 ** 31
    this.connection.exec(`PRAGMA temp.user_version = ${this.lastMark}`)
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
