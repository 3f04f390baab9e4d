// Calls the host's `beforeCommit`. It may do anything to its client and to our transaction, so two savepoints are set before the call.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHostError, type HostCallback } from '../operation.js'
import { hasSqlState, isTransactionAborted, isTransient } from './errors.js'
import type { PostgresClient } from './handle.js'
import { listenForWarning, type Doubt } from './in-doubt.js'
import { send } from './pipeline.js'
import { clientsToDrop, releasedClients } from './pool.js'
import { command, rollback } from './statements.js'

// The host may roll back to `omnichannel_update`. It could also end our transaction, begin another one and set a savepoint of that name there.
// So the outer savepoint has a random name: if it can be released, our transaction is still open.
const outerSavepoint = `omnichannel_${randomUUID().replaceAll('-', '')}`
const releaseOuter = command(`RELEASE SAVEPOINT ${outerSavepoint}`)
const rollBackToOuter = command(`ROLLBACK TO SAVEPOINT ${outerSavepoint}`)
export const setSavepoints = [command(`SAVEPOINT ${outerSavepoint}`), command('SAVEPOINT omnichannel_update')]
export const releaseSavepoints = [command('RELEASE SAVEPOINT omnichannel_update'), releaseOuter]

/**
 * Calls the host, and rolls back if the host fails. If the host ends our transaction and does not fail, `releaseSavepoints` fails later.
 *
 * @returns a doubt if the host has failed, and may have committed our transaction before
 * @throws what the host threw, if our transaction was open and has been rolled back
 */
export async function callBeforeCommit (client: PostgresClient, call: HostCallback, deadline: number): Promise<Doubt | undefined> {
  const timer = new AbortController()
  try {
    const ended = new Promise((resolve) => { resolve(call(client as never)) })
      .then(() => 'ended', (thrown: unknown) => { throw toHostError(thrown) })
    const state = await Promise.race([ended, sleep(Math.max(deadline - performance.now(), 0), 'late', { signal: timer.signal })])
    if (state === 'late') {
      // The host may still use the client.
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
  const stopListening = listenForWarning(client)
  // RELEASE fails if our transaction has ended. It is sent together with ROLLBACK, so that no COMMIT of the host comes between them.
  // A client without a pipeline sends them one after the other. If a COMMIT comes between them then, ROLLBACK warns.
  const release = await send(client, [releaseOuter, rollback], deadline)
  // A failed transaction cannot release a savepoint, but can roll back to it.
  const rolledBack = release.error === undefined ? release : await send(client, [rollBackToOuter, rollback], deadline)
  const wasOpen = stopListening() === undefined && rolledBack.error === undefined

  // The host may have failed because of a transient error of its client, such as a deadlock. With that error as the reason, the update is
  // tried again. Another transient error of the host, such as one of its own network calls, leaves the client and the transaction intact.
  const { cause } = Object(thrown) as { cause?: unknown }
  const isClientError = isTransactionAborted(release.error) ? hasSqlState(cause) : release.error !== undefined
  const reason = isClientError && isTransient(cause) ? cause : thrown
  if (wasOpen) throw reason
  return { cause: reason }
}
