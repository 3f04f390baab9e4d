import { IdempotencyKeyReusedError, InDoubtError } from '../../errors.js'
import type { CommitOutcome, Read, Update } from '../operation.js'
import type { ReplyGuard, Store } from '../store.js'
import type { PostgresClient, PostgresPool } from './handle.js'
import { bringUpToDate, checkSchema } from './migrations.js'
import { withClient, withRetry } from './pool.js'
import { runQueries, transact } from './transaction.js'

/** `lookUp` answers no request, so there is nothing to guard. */
const noGuard: ReplyGuard = { isPending: () => true, lock: () => undefined, unlock: () => undefined }

/** @param onIdleError is called if a connection is lost while no request uses it */
export function createPostgresStore (pool: PostgresPool, onIdleError: (error: Error) => void): Store {
  // Without a listener, an idle client that loses its server would end the process. The pool adds the client to the error. It is hidden,
  // because a log would print the client's settings, such as the passphrase of a TLS key.
  if (pool.listenerCount('error') === 0) pool.on('error', (error) => { onIdleError(Object.defineProperty(error, 'client', { enumerable: false })) })
  const underWay = new Set<Promise<unknown>>()

  async function runWithRetry<Result> (deadline: number, work: (client: PostgresClient) => Promise<Result>): Promise<Result> {
    return await withRetry(pool, deadline, async () => await withClient(pool, deadline, work))
  }

  async function update<Result> (prepare: () => Update<Result>, guard: ReplyGuard, timeoutMs: number): Promise<Result> {
    const deadline = performance.now() + timeoutMs
    return await withRetry(pool, deadline, async () => {
      const { result, doubt } = await withClient(pool, deadline, async (client) => await transact(client, prepare, guard, deadline))
      if (doubt === undefined) return result
      // The look-up has the whole time again, because waiting for the answer to COMMIT may have taken all of it.
      const outcome = await lookUp(doubt.outcome, performance.now() + timeoutMs)
      if (typeof outcome === 'object') return outcome.committed
      if (outcome === 'unknown') throw new InDoubtError({ cause: doubt.cause })
      // Rolled back: withRetry makes another attempt if the cause is transient.
      guard.unlock()
      throw doubt.cause
    })
  }

  /**
   * Looks up whether an update was committed, with another client and in another transaction. It locks the contact, so it waits until
   * the transaction of the update has ended. Its COMMIT waits until the replica has confirmed what was read.
   *
   * @throws {InDoubtError} if that is still unknown at the deadline
   */
  async function lookUp<Result> ({ queries, decide }: Read<CommitOutcome<Result>>, deadline: number): Promise<CommitOutcome<Result>> {
    const update: Update<CommitOutcome<Result>> = {
      queries, decide: (rows) => ({ result: decide(rows), writes: [] })
    }
    try {
      return await runWithRetry(deadline, async (client) => {
        const { result } = await transact(client, () => update, noGuard, deadline)
        return result
      })
    } catch (error) {
      // Another request has used the idempotency key meanwhile, so ours was not committed.
      throw error instanceof IdempotencyKeyReusedError ? error : new InDoubtError({ cause: error })
    }
  }

  async function track<Result> (work: Promise<Result>): Promise<Result> {
    underWay.add(work)
    return await work.finally(() => { underWay.delete(work) })
  }

  return {
    engine: 'postgres',
    migrate: async ({ migrate, lockTimeout }) => {
      const deadline = performance.now() + lockTimeout
      await runWithRetry(deadline, async (client) => { await (migrate ? bringUpToDate : checkSchema)(client, deadline) })
    },
    read: async ({ queries, decide }, timeoutMs) => {
      const deadline = performance.now() + timeoutMs
      return decide(await track(runWithRetry(deadline, async (client) => await runQueries(client, queries, deadline))))
    },
    update: async (prepare, guard, timeoutMs) => await track(update(prepare, guard, timeoutMs)),
    drain: async () => await Promise.allSettled(underWay)
  }
}
