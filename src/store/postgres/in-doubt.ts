// Finds out what became of a COMMIT. docs/architecture.md has a table of what the server may answer, and what it means.
//
// The look-up is another transaction. It locks the contact, so it waits for a transaction that still holds the lock. Then it compares
// the id of the contact's last update. It is committed too, so that the replica has confirmed what it read.

import { IdempotencyKeyReusedError, InDoubtError } from '../../errors.js'
import { always, type Decision, type Update } from '../operation.js'
import type { Reply } from '../store.js'
import { isSavepointGone, isTransactionAborted } from './errors.js'
import type { PostgresClient, PostgresError } from './handle.js'
import type { Answers } from './pipeline.js'
import { withRetry } from './pool.js'

/** An attempt at an update that was committed, unless there is a doubt. */
export interface Attempt<Result> {
  decision: Decision<Result>
  doubt: Doubt | undefined
}

/** It is not known whether an update was committed. */
export interface Doubt {
  /** The error of the update if it was rolled back. */
  cause: unknown
}

/** Listens until the returned function is called, which tells what the server has warned of: then a COMMIT is in doubt. */
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
 * @param answers to queries that end with COMMIT
 * @throws what the server refused, after which nothing is committed
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

/**
 * Looks up whether an update was committed, and returns its result.
 *
 * @param run makes one attempt at an update
 * @throws {InDoubtError} if this is still unknown at the deadline, or can no longer be found out
 * @throws the cause of the doubt if the update was rolled back
 */
export async function resolveInDoubt<Result> (
  { findOutcome }: Decision<Result>, { cause }: Doubt, reply: Reply,
  run: <Answer>(update: Update<Answer>) => Promise<Attempt<Answer>>, deadline: number
): Promise<Result> {
  const { queries, decide } = findOutcome
  const outcome = await withRetry(deadline, async () => {
    const { decision, doubt } = await run({
      queries, decide: (rows) => ({ result: decide(rows), writes: [], findOutcome: always('rolled-back' as const) })
    })
    if (doubt !== undefined) throw doubt.cause
    return decision.result
  }).catch((error: unknown) => {
    // The key was used for another request meanwhile: ours was not committed.
    throw error instanceof IdempotencyKeyReusedError ? error : new InDoubtError({ cause: error })
  })
  if (typeof outcome === 'object') return outcome.committed
  if (outcome === 'unknown') throw new InDoubtError({ cause })
  reply.unlock()
  throw cause
}
