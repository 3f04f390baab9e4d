// Runs the host's `beforeCommit` after a savepoint. It may do anything to its client and to our transaction.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostCallback } from '../operation.js'
import { isTransient } from './errors.js'
import type { PostgresClient } from './handle.js'
import type { Doubt } from './in-doubt.js'
import { send } from './pipeline.js'
import { clientsToDrop, releasedClients } from './pool.js'
import { command } from './statements.js'

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
export async function callHost (client: PostgresClient, { call }: HostCallback, deadline: number): Promise<Doubt | undefined> {
  const timer = new AbortController()
  try {
    const isLate = await Promise.race([
      Promise.resolve(call(client as never)).then(() => false), sleep(Math.max(deadline - performance.now(), 0), true, { signal: timer.signal })
    ])
    if (isLate) {
      // The host may still send something.
      clientsToDrop.add(client)
      return { cause: new Error('beforeCommit has not ended by the deadline') }
    }
    if (releasedClients.has(client)) throw new Error('beforeCommit has released its client, or ended it')
    if (client.getTransactionStatus() === 'E') throw new Error('beforeCommit has let the transaction fail')
    return undefined
  } catch (error) {
    return await findSavepoint(client, error, deadline)
  } finally {
    timer.abort()
  }
}

/** Throws the error of the host if the savepoint still exists. */
async function findSavepoint (client: PostgresClient, thrown: unknown, deadline: number): Promise<Doubt> {
  if ((await send(client, [releaseSavepoint], deadline)).error === undefined) throw thrown
  // A statement of the host has failed. If its error is transient, the update is tried again.
  const { cause } = Object(thrown) as { cause?: unknown }
  const reason = isTransient(cause) ? cause : thrown
  // A failed transaction cannot release a savepoint, but can roll back to it.
  if ((await send(client, [rollbackToSavepoint], deadline)).error === undefined) throw reason
  return { cause: reason }
}
