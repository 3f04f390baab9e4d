// What became of a COMMIT. docs/architecture.md has a table of what the server may answer, and what it means.

import { isSavepointGone, isTransactionAborted } from './errors.js'
import type { PostgresClient, PostgresError } from './handle.js'
import type { Answers } from './pipeline.js'

/** It is not known whether an update was committed. store.ts looks it up. */
export interface Doubt {
  /** The reason. The update fails with this error if it was rolled back. */
  cause: unknown
}

/** Listens for warnings that put a COMMIT in doubt. Call the returned function to stop. It returns the warning, if there was one. */
export function listenForWarning (client: PostgresClient): () => Error | undefined {
  let warning: Error | undefined
  const listen = ({ routine, code }: PostgresError): void => {
    // The code of a transaction whose resolution is unknown.
    if (routine === 'SyncRepWaitForLSN') warning = Object.assign(new Error('the synchronous replica has not confirmed'), { code: '08007' })
    // COMMIT without a transaction only warns. Without a pipeline, a statement that beforeCommit has not awaited may come before it.
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
 * @param answers those of a round trip that ends with COMMIT
 * @throws an error after which nothing is committed
 */
export function judgeCommit ({ results, error, isLastInDoubt }: Answers, warning: Error | undefined): Doubt | undefined {
  if (isSavepointGone(error)) return { cause: new Error(transactionEnded, { cause: error }) }
  if (isTransactionAborted(error)) throw new Error('beforeCommit has let the transaction fail', { cause: error })
  if (isLastInDoubt) return { cause: error }
  if (error !== undefined) throw error
  const command = results.at(-1)?.command
  if (command !== 'COMMIT') throw new Error(`COMMIT was answered by ${command}`)
  return warning && { cause: warning }
}
