// Judges the answer to COMMIT. docs/architecture.md has a table of what the server may answer, and what it means.

import { isSavepointGone, isTransactionAborted } from './errors.js'
import type { PostgresClient, PostgresError } from './handle.js'
import type { Answers } from './pipeline.js'

/** Says that an update may or may not be committed. store.ts looks it up. */
export interface Doubt {
  /** The reason. If the look-up finds that the update was rolled back, the attempt fails with this error. */
  cause: unknown
}

/** Listens for warnings that put a COMMIT in doubt. The returned function stops listening, and returns the warning if there was one. */
export function listenForWarning (client: PostgresClient): () => Error | undefined {
  let warning: Error | undefined
  const listen = ({ routine, code }: PostgresError): void => {
    // The server has committed, but has stopped waiting for the replica. 08007 is transaction_resolution_unknown.
    if (routine === 'SyncRepWaitForLSN') warning = Object.assign(new Error('the synchronous replica has not confirmed'), { code: '08007' })
    // COMMIT and ROLLBACK only warn if there is no transaction. A statement that beforeCommit did not await may have ended it.
    else if (code === '25P01') warning = new Error(transactionEnded)
  }
  client.on('notice', listen)
  return () => {
    client.removeListener('notice', listen)
    return warning
  }
}

const transactionEnded = 'beforeCommit has ended the transaction'

/**
 * Judges the answers to a round trip that ends with COMMIT.
 *
 * @returns undefined if the update was committed, a doubt if that is not known
 * @throws an error if nothing was committed
 */
export function judgeCommit ({ results, error, mayBeCommitted }: Answers, warning: Error | undefined): Doubt | undefined {
  // beforeCommit has ended the transaction, perhaps with COMMIT.
  if (isSavepointGone(error)) return { cause: new Error(transactionEnded, { cause: error }) }
  if (isTransactionAborted(error)) throw new Error('beforeCommit has let the transaction fail', { cause: error })
  if (mayBeCommitted) return { cause: error }
  if (error !== undefined) throw error
  const command = results.at(-1)?.command
  if (command !== 'COMMIT') throw new Error(`COMMIT was answered by ${command}`)
  return warning && { cause: warning }
}
