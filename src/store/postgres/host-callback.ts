// Calls the host's `beforeCommit` after two savepoints. It may do anything to its client and to our transaction.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHostError, type HostCallback } from '../operation.js'
import { hasSqlState, isTransactionAborted, isTransient } from './errors.js'
import type { PostgresClient } from './handle.js'
import { listenForWarning, type Doubt } from './in-doubt.js'
import { send } from './pipeline.js'
import { clientsToDrop, releasedClients } from './pool.js'
import { command, rollback } from './statements.js'

// The host could end our transaction, and set a savepoint of a known name in another one. So one of the two has a random name.
const secretName = `omnichannel_${randomUUID().replaceAll('-', '')}`
const releaseSavepoint = command(`RELEASE SAVEPOINT ${secretName}`)
const rollbackToSavepoint = command(`ROLLBACK TO SAVEPOINT ${secretName}`)
export const savepoints = [command(`SAVEPOINT ${secretName}`), command('SAVEPOINT omnichannel_update')]
export const releaseSavepoints = [command('RELEASE SAVEPOINT omnichannel_update'), releaseSavepoint]

/**
 * If the host fails, rolls back. Returns a doubt if the host may have ended our transaction before. If the host ends the transaction without
 * failing, `releaseSavepoints` fails later.
 *
 * @throws what the host threw, if our transaction was still open
 */
export async function callHost (client: PostgresClient, call: HostCallback, deadline: number): Promise<Doubt | undefined> {
  const timer = new AbortController()
  try {
    const ended = new Promise((resolve) => { resolve(call(client as never)) })
      .then(() => 'ended', (thrown: unknown) => { throw toHostError(thrown) })
    const first = await Promise.race([ended, sleep(Math.max(deadline - performance.now(), 0), 'late', { signal: timer.signal })])
    if (first === 'late') {
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

async function rollBackAfterFailure (client: PostgresClient, thrown: unknown, deadline: number): Promise<Doubt> {
  const warning = listenForWarning(client)
  // The first command fails if our transaction has ended. ROLLBACK is sent with it, so that no COMMIT of the host comes between them.
  // Without a pipeline one can, and then ROLLBACK warns.
  const released = await send(client, [releaseSavepoint, rollback], deadline)
  // A failed transaction cannot release a savepoint, but can roll back to it.
  const { error } = released.error === undefined ? released : await send(client, [rollbackToSavepoint, rollback], deadline)
  const wasOpen = warning() === undefined && error === undefined
  // The host may have failed because of an error of its client, such as a deadlock. If that error is transient, the update is tried again.
  const { cause } = Object(thrown) as { cause?: unknown }
  const isClientError = isTransactionAborted(released.error) ? hasSqlState(cause) : released.error !== undefined
  const reason = isClientError && isTransient(cause) ? cause : thrown
  if (wasOpen) throw reason
  return { cause: reason }
}
