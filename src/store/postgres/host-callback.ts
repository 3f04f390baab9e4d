// Runs the host's `beforeCommit` after a savepoint. It may do anything to its client and to our transaction.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHostError, type HostCallback } from '../operation.js'
import { hasSqlState, isTransactionAborted, isTransient } from './errors.js'
import type { PostgresClient } from './handle.js'
import { listenForWarning, type Doubt } from './in-doubt.js'
import { send } from './pipeline.js'
import { clientsToDrop, releasedClients } from './pool.js'
import { command, rollback } from './statements.js'

// Two savepoints, because a host that ends the transaction can begin another one with a savepoint of the known name.
const secretName = `omnichannel_${randomUUID().replaceAll('-', '')}`
const releaseSavepoint = command(`RELEASE SAVEPOINT ${secretName}`)
const rollbackToSavepoint = command(`ROLLBACK TO SAVEPOINT ${secretName}`)
export const savepoints = [command(`SAVEPOINT ${secretName}`), command('SAVEPOINT omnichannel_update')]
export const releaseSavepoints = [command('RELEASE SAVEPOINT omnichannel_update'), releaseSavepoint]

/**
 * Returns a doubt if the host failed and may have ended our transaction. If it ended the transaction and did not fail, releasing the
 * savepoint will fail.
 *
 * @throws what the host threw, if our transaction is still open
 */
export async function callHost (client: PostgresClient, call: HostCallback, deadline: number): Promise<Doubt | undefined> {
  const timer = new AbortController()
  try {
    const called = new Promise((resolve) => { resolve(call(client as never)) })
      .then(() => false, (thrown: unknown) => { throw toHostError(thrown) })
    const isLate = await Promise.race([called, sleep(Math.max(deadline - performance.now(), 0), true, { signal: timer.signal })])
    if (isLate) {
      // The host may still send something.
      clientsToDrop.add(client)
      throw new Error('beforeCommit has not ended by the deadline')
    }
    if (releasedClients.has(client)) throw new Error('beforeCommit has released its client, or ended it')
    if (client.getTransactionStatus() === 'E') throw new Error('beforeCommit has let the transaction fail')
    return undefined
  } catch (error) {
    return await rollBackAfterFailure(client, error, deadline)
  } finally {
    timer.abort()
  }
}

/** Throws the error of the host if our transaction was still open. */
async function rollBackAfterFailure (client: PostgresClient, thrown: unknown, deadline: number): Promise<Doubt> {
  const warning = listenForWarning(client)
  // ROLLBACK is sent with the check, because the host may send COMMIT meanwhile. Without a pipeline, COMMIT can come between them. Then
  // ROLLBACK warns.
  const released = await send(client, [releaseSavepoint, rollback], deadline)
  // A failed transaction cannot release a savepoint, but can roll back to it.
  const { error } = released.error === undefined ? released : await send(client, [rollbackToSavepoint, rollback], deadline)
  const wasOpen = warning() === undefined && error === undefined
  // If the transaction has failed or the connection is lost, a transient error behind the host's error is thrown itself, so that the update
  // is tried again.
  const { cause } = Object(thrown) as { cause?: unknown }
  const isOfClient = isTransactionAborted(released.error) ? hasSqlState(cause) : released.error !== undefined
  const reason = isOfClient && isTransient(cause) ? cause : thrown
  if (wasOpen) throw reason
  return { cause: reason }
}
