// Queries on one client, as many together as are asked together.

import { runBatch, takesBatches, type Outcome } from './batch.js'
import { leavesOpen } from './errors.js'
import type { PostgresClient, PostgresQuery, PostgresResult } from './handle.js'

/** The server is given this much longer than it was told it has, so that its own answer comes first. */
const grace = 250 // ms

/**
 * Sends queries in their order and tells what became of each. What is not answered by `deadline` ends the connection. There
 * is no outcome of those that were not done because of an error before them; where the connection was lost, it is the error
 * of all that may have been done.
 */
export async function send (client: PostgresClient, queries: readonly PostgresQuery[], deadline: number): Promise<Outcome[]> {
  const timeout = Math.max(deadline - performance.now(), 0) + grace
  if (!takesBatches(client)) return await sendOneByOne(client, queries, timeout)
  const outcomes = await runBatch(client, queries, timeout)
  const last = outcomes.at(-1)
  if (last !== undefined && 'error' in last && leavesOpen(last.error)) {
    while (outcomes.length < queries.length) outcomes.push(last)
  }
  return outcomes
}

async function sendOneByOne (client: PostgresClient, queries: readonly PostgresQuery[], timeout: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const query of queries) {
    try {
      outcomes.push({ result: await client.query({ ...query, query_timeout: timeout } as PostgresQuery) })
    } catch (error) {
      outcomes.push({ error })
      break
    }
  }
  return outcomes
}

/** The results of all, or else the error of the first that failed. */
export function resultsOf (outcomes: readonly Outcome[]): PostgresResult[] {
  return outcomes.map((outcome) => {
    if ('error' in outcome) throw outcome.error
    return outcome.result
  })
}
