import type { Update } from '../operation.js'
import type { Reply, Store } from '../store.js'
import type { PostgresPool } from './handle.js'
import { resolveInDoubt, type Attempt } from './in-doubt.js'
import { bringUpToDate, checkSchema } from './migrations.js'
import { withClient, withRetry } from './pool.js'
import { read, transact } from './transaction.js'

const stores = new WeakMap<PostgresPool, Store>()

/** @param report is called if an idle connection is lost */
export function postgresStore (pool: PostgresPool, report: (error: Error) => void): Store {
  let store = stores.get(pool)
  if (store === undefined) stores.set(pool, store = createStore(pool, report))
  return store
}

/** The look-up after a lost COMMIT answers no request. */
const noReply: Reply = { isPending: () => true, lock: () => undefined, unlock: () => undefined }

function createStore (pool: PostgresPool, report: (error: Error) => void): Store {
  // Without a listener an idle client that loses its server would end the process.
  if (pool.listenerCount('error') === 0) pool.on('error', report)
  const underWay = new Set<Promise<unknown>>()

  async function update<Result> (prepare: () => Update<Result>, reply: Reply, timeoutMs: number): Promise<Result> {
    const deadline = performance.now() + timeoutMs
    return await withRetry(deadline, async () => {
      const { decision, doubt } = await attempt(prepare, reply, deadline)
      if (doubt === undefined) return decision.result
      const resolveBy = performance.now() + timeoutMs
      return await resolveInDoubt(decision, doubt, reply, async (lookUp) => await attempt(() => lookUp, noReply, resolveBy), resolveBy)
    })
  }

  async function attempt<Result> (prepare: () => Update<Result>, reply: Reply, deadline: number): Promise<Attempt<Result>> {
    return await withClient(pool, deadline, async (client) => await transact(client, prepare, reply, deadline))
  }

  async function track<Result> (work: Promise<Result>): Promise<Result> {
    underWay.add(work)
    return await work.finally(() => { underWay.delete(work) })
  }

  return {
    engine: 'postgres',
    migrate: async ({ migrate, lockTimeout }) => {
      const deadline = performance.now() + lockTimeout
      await withRetry(deadline, async () => {
        await withClient(pool, deadline, async (client) => {
          if (migrate) await bringUpToDate(client, deadline)
          await checkSchema(client)
        })
      })
    },
    read: async ({ queries, decide }, timeoutMs) => {
      const deadline = performance.now() + timeoutMs
      const rows = withRetry(deadline, async () => await withClient(pool, deadline, async (client) => await read(client, queries, deadline)))
      return decide(await track(rows))
    },
    update: async (prepare, reply, timeoutMs) => await track(update(prepare, reply, timeoutMs)),
    drain: async () => await Promise.allSettled(underWay)
  }
}
