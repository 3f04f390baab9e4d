// Takes a client from the host's pool, uses it, and gives it back. A client that cannot be used again is dropped.

import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseBusyError, UpdateRefusedError } from '../../errors.js'
import { isClientUnusable, isTransient, obstacleOf, UnusableClientError } from './errors.js'
import type { PostgresClient, PostgresPool } from './handle.js'

const shortestPauseMs = 2
const longestPauseMs = 128

/** Repeats an attempt, after growing pauses, as long as its error is transient. */
export async function withRetry<Result> (pool: PostgresPool, deadline: number, attempt: () => Promise<Result>): Promise<Result> {
  let previous: unknown
  let clientsToTry = pool.totalCount
  for (let pause = shortestPauseMs; ; pause = Math.min(pause * 2, longestPauseMs)) {
    try {
      return await attempt()
    } catch (error) {
      // If the last attempt got no client by the deadline, the error of the previous attempt says what was in the way.
      if (error instanceof DatabaseBusyError && previous !== undefined) throw toBusy(previous)
      // The host can give its refusal any code, also one that looks transient.
      if (error instanceof UpdateRefusedError || !isTransient(error)) throw error
      if (performance.now() + pause >= deadline) throw toBusy(error)
      previous = error
      // Perhaps the host has changed all clients of the pool. Dropping them one by one needs no long pause.
      const hasNextClient = isClientUnusable(error) && Number(pool.idleCount) > 0 && clientsToTry-- > 0
      await sleep(hasNextClient ? 0 : pause)
    }
  }
}

function toBusy (cause: unknown): Error {
  return new DatabaseBusyError({ obstacle: obstacleOf(cause), cause })
}

/** Clients that must not go back to the pool, because their connection was lost or the host may still use them. */
export const clientsToDrop = new WeakSet<PostgresClient>()
/** Clients that the host has tried to release or end. While the plugin uses a client, neither has an effect. */
export const releasedClients = new WeakSet<PostgresClient>()

function onError (this: PostgresClient): void {
  clientsToDrop.add(this)
}

export async function withClient<Result> (
  pool: PostgresPool, deadline: number, work: (client: PostgresClient) => Promise<Result>
): Promise<Result> {
  const client = await connect(pool, deadline)
  const { release, end } = client
  const noteRelease = (): Promise<void> => {
    releasedClients.add(client)
    return Promise.resolve()
  }
  releasedClients.delete(client)
  // A `beforeCommit` may call these at any time, also after it has ended. The pool sets `release` again when it next gives the client.
  Object.assign(client, { release: noteRelease, end: noteRelease })
  const isIdle = (): boolean => client.getTransactionStatus() === 'I' && !clientsToDrop.has(client)
  let isUnusable = false
  try {
    if (!isIdle()) throw new UnusableClientError('a client of the pool was in a transaction')
    return await work(client)
  } catch (error) {
    isUnusable = isClientUnusable(error)
    throw error
  } finally {
    client.removeListener('error', onError)
    Reflect.deleteProperty(client, 'end')
    // If `end` was not the method of the class, the host had set it on the client.
    if (client.end !== end) client.end = end
    release(isUnusable || !isIdle())
  }
}

async function connect (pool: PostgresPool, deadline: number): Promise<PostgresClient> {
  return await new Promise((resolve, reject) => {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      const isFull = Number(pool.waitingCount) > 0
      const cause = new Error(isFull ? 'no client of the pool was free' : 'no client of the pool was connected in time')
      reject(new DatabaseBusyError({ obstacle: isFull ? 'full-pool' : 'server-away', cause }))
    }, Math.max(deadline - performance.now(), 0))
    pool.connect((error, client) => {
      clearTimeout(timer)
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      if (client === undefined) return reject(error)
      // Before anything is awaited, because an `error` event without a listener would end the process.
      client.on('error', onError)
      // In nextTick, because `release` gives the client to the next request at once. If thousands are late, that would overflow the stack.
      if (isLate) return process.nextTick(giveBack, client)
      resolve(client)
    })
  })
}

function giveBack (client: PostgresClient): void {
  client.removeListener('error', onError)
  client.release(clientsToDrop.has(client))
}
