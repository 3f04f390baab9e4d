// The transaction that updates share, and what a host callback may do to it: end it, or leave an iterator open.

import { AsyncBeforeCommitError } from '../../errors.js'
import type { HostCallback } from '../operation.js'
import type { Connection, Locking } from './connection.js'

export interface Transaction {
  /** A host callback has run in it. */
  readonly hostWasCalled: boolean
  /** Fails as busy while the host has a statement open on the handle. */
  begin: (locking: Locking) => void
  /** Sets a savepoint, to which {@link undoUpdate} goes back. */
  beginUpdate: (callsHost: boolean) => void
  endUpdate: () => void
  /** Returns whether the savepoint was there. */
  undoUpdate: () => boolean
  callHost: (callback: HostCallback) => void
  /** What a host callback committed when it ended the transaction: the updates before it, and the update that it belongs to. */
  findCommitted: () => { others: boolean, last: boolean }
  commit: () => void
  rollBack: () => void
  /** To be called after each transaction, also when it could not begin. */
  cleanUp: () => void
}

export function createTransaction (connection: Connection): Transaction {
  let hostWasCalled = false
  /** A host callback has left an iterator open. It must not stop the queue. */
  let hasOrphanedIterator = false
  // `temp.user_version` tells what a host callback committed: COMMIT keeps what was written to it, and ROLLBACK does not. Our own tables
  // may be locked by another process at that moment.
  let [markBefore, lastMark] = [0, 0]

  function readMark (): number {
    const [mark] = connection.get('PRAGMA temp.user_version') as [number]
    return mark
  }

  function writeMark (): void {
    lastMark = (lastMark + 1) % 2 ** 31
    connection.exec(`PRAGMA temp.user_version = ${lastMark}`)
  }

  /** Runs what must not wait until an iterator is closed. */
  function runDespiteIterators (run: () => void): void {
    try {
      run()
    } catch (error) {
      if (!connection.isBusy(error)) throw error
      hasOrphanedIterator = true
      connection.ignoreIterators(true)
      run()
    }
  }

  return {
    get hostWasCalled () { return hostWasCalled },
    begin: ({ isWal, hasAttached }) => {
      hostWasCalled = false
      // BEGIN EXCLUSIVE waits for readers now, so that COMMIT never does. It would lock what is attached, too.
      const command = isWal || hasAttached ? 'BEGIN' : 'BEGIN EXCLUSIVE'
      try {
        connection.begin(command)
        hasOrphanedIterator = false
      } catch (error) {
        if (!(hasOrphanedIterator && connection.isBusy(error))) throw error
        connection.ignoreIterators(true)
        // Fails as busy while a statement that writes is open. Our ROLLBACK would undo what it wrote.
        connection.exec('SAVEPOINT omnichannel_begin; RELEASE omnichannel_begin')
        connection.begin(command)
      }
    },
    beginUpdate: (callsHost) => {
      if (callsHost) {
        if (!hostWasCalled) markBefore = lastMark = readMark()
        hostWasCalled = true
        writeMark()
      }
      connection.run('SAVEPOINT omnichannel_update')
    },
    endUpdate: () => { connection.run('RELEASE omnichannel_update') },
    undoUpdate: () => {
      try {
        runDespiteIterators(() => connection.run('ROLLBACK TO omnichannel_update'))
        connection.run('RELEASE omnichannel_update')
        return true
      } catch {
        return false
      }
    },
    callHost: ({ call }) => {
      writeMark()
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
    },
    findCommitted: () => {
      const mark = readMark()
      return { others: mark !== markBefore, last: mark === lastMark }
    },
    commit: () => { connection.run('COMMIT') },
    rollBack: () => {
      if (connection.inTransaction) runDespiteIterators(() => connection.run('ROLLBACK'))
    },
    cleanUp: () => {
      connection.ignoreIterators(false)
      hasOrphanedIterator ||= hostWasCalled && connection.hasSilentIterator()
    }
  }
}
