// Queries on one client. Where the host's pool pipelines, what is sent together takes one round trip.

import type { PostgresClient, PostgresQuery, PostgresResult } from './handle.js'

/** The server is given this much longer than it was told it has, so that its own answer comes first. */
const grace = 250 // ms

export type Sent = PostgresQuery | { text: string }

export type Outcome = { result: PostgresResult } | { error: unknown }

/**
 * Sends queries in their order and tells what became of each. What is not answered by `deadline` ends the connection, and
 * after a failure nothing more is sent where each query waits for the one before.
 */
export async function send (client: PostgresClient, queries: readonly Sent[], deadline: number): Promise<Outcome[]> {
  const timeout = { query_timeout: Math.max(deadline - performance.now(), 0) + grace }
  if (client.pipeline === true) {
    const last = queries.length - 1
    // The last is answered last, so its clock is enough for all.
    return await Promise.all(queries.map((query, index) => outcomeOf(client, index === last ? { ...query, ...timeout } : query)))
  }
  const outcomes: Outcome[] = []
  for (const query of queries) {
    const outcome = await outcomeOf(client, { ...query, ...timeout })
    outcomes.push(outcome)
    if ('error' in outcome) break
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

async function outcomeOf (client: PostgresClient, query: Sent): Promise<Outcome> {
  try {
    return { result: await client.query(query as PostgresQuery) }
  } catch (error) {
    return { error }
  }
}
