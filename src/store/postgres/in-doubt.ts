// What became of a COMMIT:
//
// | seen                                                      | meaning                                              |
// |-----------------------------------------------------------|------------------------------------------------------|
// | COMMIT, and no notice from SyncRepWaitForLSN              | committed                                            |
// | ROLLBACK                                                  | rolled back: an error, and no second attempt         |
// | an error of the server                                    | rolled back; a second attempt if it is transient     |
// | no such savepoint: the host has ended the transaction     | ask the rows; if rolled back, an error               |
// | the connection lost, or the replica did not confirm       | ask the rows; if rolled back, a second attempt       |
//
// To ask the rows: lock the contact, which waits for a transaction that still has it, and compare the id of its last update.

import { IdempotencyKeyReusedError, InDoubtError } from '../../errors.js'
import { always, type CommitOutcome, type Decision, type Read, type Update } from '../operation.js'
import { isCommitAmbiguous, isTransactionAborted } from './errors.js'
import type { PostgresClient, PostgresError } from './handle.js'
import type { Outcome } from './pipeline.js'
import { withRetry } from './pool.js'

/** An attempt at an update that has got as far as COMMIT. */
export interface Attempt<Result> {
  decision: Decision<Result>
  end: CommitEnd
}

/** How a COMMIT ended; `cause` is what came in place of its answer. */
type CommitEnd = { is: 'committed' } | { is: 'in-doubt' | 'ended-by-host', cause: unknown }

/** Listens until the returned function is called, which tells whether a synchronous replica has confirmed. */
export function listenForReplica (client: PostgresClient): () => boolean {
  let isConfirmed = true
  const listen = ({ routine }: PostgresError): void => { isConfirmed &&= routine !== 'SyncRepWaitForLSN' }
  client.on('notice', listen)
  return () => {
    client.removeListener('notice', listen)
    return isConfirmed
  }
}

/**
 * @param index which of the outcomes is that of COMMIT
 * @throws what the server refused, after which nothing is committed
 */
export function judgeCommit (outcomes: readonly Outcome[], index: number, isConfirmed: boolean): CommitEnd {
  const failed = outcomes.find((outcome) => 'error' in outcome)
  if (failed !== undefined) {
    const { error } = failed
    if (isSavepointGone(error)) return { is: 'ended-by-host', cause: new Error('beforeCommit has ended the transaction', { cause: error }) }
    if (isTransactionAborted(error)) throw new Error('beforeCommit has let the transaction fail', { cause: error })
    // Where COMMIT has not even been sent, nothing is open.
    if (isCommitAmbiguous(error) && outcomes.length > index) return { is: 'in-doubt', cause: error }
    throw error
  }
  const { result: { command } } = outcomes[index] as { result: { command: string } }
  if (command !== 'COMMIT') throw new Error(`COMMIT was answered by ${command}`)
  return isConfirmed ? { is: 'committed' } : { is: 'in-doubt', cause: new ReplicaError('the synchronous replica has not confirmed') }
}

/** No such savepoint, or no transaction at all. */
function isSavepointGone (error: unknown): boolean {
  return /^(3B001|25P01)$/.test(String((Object(error) as PostgresError).code))
}

/** Transaction resolution unknown. */
class ReplicaError extends Error {
  readonly code = '08007'
}

/**
 * Asks the rows, in a transaction that must itself be committed, so that the replica has confirmed what it saw.
 *
 * @param run makes one attempt
 * @throws {InDoubtError} when there is no answer until the deadline
 */
export async function resolveInDoubt<Result> (
  { queries, decide }: Read<CommitOutcome<Result>>,
  run: (question: Update<CommitOutcome<Result>>) => Promise<Attempt<CommitOutcome<Result>>>,
  deadline: number
): Promise<CommitOutcome<Result>> {
  const question = { queries, decide: (rows: readonly unknown[]) => ({ result: decide(rows), writes: [], findOutcome: always('rolled-back' as const) }) }
  try {
    return await withRetry(deadline, async () => {
      const { decision, end } = await run(question)
      if (end.is !== 'committed') throw end.cause
      return decision.result
    })
  } catch (error) {
    // The key was used for another request meanwhile: ours was not committed.
    if (error instanceof IdempotencyKeyReusedError) throw error
    throw new InDoubtError({ cause: error })
  }
}
