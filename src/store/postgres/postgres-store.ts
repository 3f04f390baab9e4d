import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseBusyError, InDoubtError } from '../../errors.js'
import type { Fate, Query, Steps } from '../steps.js'
import type { Store } from '../store.js'
import { toAnswers, toQuery } from './compiler.js'
import { isLost, isPassing, isTimeout } from './errors.js'
import type { PostgresClient, PostgresPool } from './handle.js'
import { bringUpToDate, checkSchema } from './migrations.js'
import { resultsOf, send } from './session.js'
import { transact } from './transaction.js'

const stores = new WeakMap<PostgresPool, Store>()

const shortestPause = 2 // ms
const longestPause = 128 // ms

export function postgresStore (pool: PostgresPool, report: (error: Error) => void): Store {
  let store = stores.get(pool)
  if (store === undefined) stores.set(pool, store = createStore(pool, report))
  return store
}

function createStore (pool: PostgresPool, report: (error: Error) => void): Store {
  // An idle client whose server goes away would end the process.
  if (pool.listenerCount('error') === 0) pool.on('error', report)
  const waiting = new Set<Promise<unknown>>()

  /** Tries again while what stands in the way may pass. */
  async function persist<Result> (
    work: (client: PostgresClient) => Promise<Result>, deadline: number, pause = shortestPause
  ): Promise<Result> {
    try {
      return await withClient(pool, deadline, work)
    } catch (error) {
      const isLate = isTimeout(error) || (isPassing(error) && performance.now() + pause >= deadline)
      if (isLate) throw new DatabaseBusyError({ cause: error })
      if (!isPassing(error)) throw error
    }
    await sleep(pause)
    return await persist(work, deadline, Math.min(pause * 2, longestPause))
  }

  async function update<Result> (
    steps: () => Steps<Result>, lockTimeout: number, whatBecameOf: (result: Result) => Steps<Fate>
  ): Promise<Result> {
    const deadline = performance.now() + lockTimeout
    for (;;) {
      const { result, isCommitted } = await persist(async (client) => await transact(client, steps(), deadline), deadline)
      if (isCommitted) return result
      const fate = await settle(() => whatBecameOf(result), performance.now() + lockTimeout)
      if (fate === 'committed') return result
      if (fate === 'unknown') throw new InDoubtError()
    }
  }

  /** Finds out in a transaction that has itself been committed, so that a replica has confirmed all that it saw. */
  async function settle (whatBecameOf: () => Steps<Fate>, deadline: number): Promise<Fate> {
    let cause: unknown
    try {
      do {
        const { result, isCommitted } = await persist(async (client) => await transact(client, whatBecameOf(), deadline), deadline)
        if (isCommitted) return result
      } while (performance.now() < deadline)
    } catch (error) {
      cause = error
    }
    throw new InDoubtError({ cause })
  }

  async function track<Result> (work: Promise<Result>): Promise<Result> {
    waiting.add(work)
    try {
      return await work
    } finally {
      waiting.delete(work)
    }
  }

  return {
    migrate: async ({ migrate, lockTimeout }) => {
      await persist(async (client) => {
        if (migrate) await bringUpToDate(client, performance.now() + lockTimeout)
        await checkSchema(client)
      }, performance.now() + lockTimeout)
    },
    read: async (steps, lockTimeout) => {
      const deadline = performance.now() + lockTimeout
      return await track(persist(async (client) => await ask(client, steps(), deadline), deadline))
    },
    update: async (steps, lockTimeout, whatBecameOf) => await track(update(steps, lockTimeout, whatBecameOf)),
    settled: async () => await Promise.allSettled(waiting)
  }
}

/** Each step sees what is committed when it asks. */
async function ask<Result> (client: PostgresClient, steps: Steps<Result>, deadline: number): Promise<Result> {
  let step = steps.next()
  while (step.done !== true) {
    const queries = step.value as readonly Query[]
    step = steps.next(toAnswers(queries, resultsOf(await send(client, queries.map(toQuery), deadline))))
  }
  return step.value
}

/** Works with a client of the pool and gives it back, or away where it is not as it was. */
async function withClient<Result> (
  pool: PostgresPool, deadline: number, work: (client: PostgresClient) => Promise<Result>
): Promise<Result> {
  const client = await connect(pool, deadline)
  // Also told to those who asked; without a listener it would end the process.
  const ignore = (): void => undefined
  client.on('error', ignore)
  const [outcome] = await Promise.allSettled([isIdle(client) ? work(client) : refuse()])
  client.removeListener('error', ignore)
  client.release(!isIdle(client) || (outcome.status === 'rejected' && isLost(outcome.reason)))
  if (outcome.status === 'rejected') throw outcome.reason
  return outcome.value
}

function isIdle (client: PostgresClient): boolean {
  return client.getTransactionStatus() === 'I'
}

/** Somebody has given it back in the middle of a transaction: another may be had. */
function refuse (): Promise<never> {
  return Promise.reject(Object.assign(new Error('a client of the pool was in a transaction'), { code: '08000' }))
}

async function connect (pool: PostgresPool, deadline: number): Promise<PostgresClient> {
  let isLate = false
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      isLate = true
      reject(new DatabaseBusyError())
    }, Math.max(deadline - performance.now(), 0))
    pool.connect().then((client) => {
      clearTimeout(timer)
      // Whoever comes when nobody waits any more goes back.
      if (isLate) client.release()
      else resolve(client)
    }).catch((error: unknown) => {
      clearTimeout(timer)
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      reject(error)
    })
  })
}
