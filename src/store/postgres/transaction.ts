// One attempt at an update, in two round trips: [BEGIN, reads], then the decision, then [writes, COMMIT]. A `beforeCommit` of the
// host takes one more. The first read locks the contact. in-doubt.ts says what an answer to COMMIT means. If there is none, store.ts looks
// up whether the update was committed.

import { setImmediate } from 'node:timers/promises'
import { timeCommit } from '../../diagnostics.js'
import type { Decision, Query, Update } from '../operation.js'
import { throwIfGone, type Reply } from '../store.js'
import { isTransactionAborted, StaleClientError, UnusableClientError } from './errors.js'
import type { PostgresClient, PostgresQuery, PostgresResult } from './handle.js'
import { callHost, releaseSavepoints, savepoints } from './host-callback.js'
import { judgeCommit, listenForWarning, type Doubt } from './in-doubt.js'
import { millisecondsTo, send, timeoutOf } from './pipeline.js'
import { clientsToDrop } from './pool.js'
import { command, rollback, statement, toQuery, toRows } from './statements.js'

// PostgreSQL finds temporary tables before all others.
const session = `current_setting('client_encoding'), concat('user ', current_user, ', search_path ', current_setting('search_path'),
  ', synchronous_commit ', current_setting('synchronous_commit'), ', row_security ', current_setting('row_security'),
  ', session_replication_role ', current_setting('session_replication_role'),
  CASE WHEN pg_my_temp_schema() <> 0 THEN (
    SELECT ', temporary tables ' || string_agg(relname, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'p', 'v') AND starts_with(relname, 'omnichannel_')) END)`
// The host may have made another isolation level the default.
const begin = statement('BEGIN ISOLATION LEVEL READ COMMITTED')([])
// The server ends a transaction that is idle only after the deadline of beforeCommit. Only PostgreSQL 17 and later have a transaction_timeout.
const configure = statement(`SELECT ${session}, set_config('statement_timeout', $1, true), set_config('lock_timeout', '0', true),
  set_config('idle_in_transaction_session_timeout', $2, true),
  CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL THEN set_config('transaction_timeout', '0', true) END,
  set_config('client_min_messages', 'warning', true)`)
const limitRead = statement(`SELECT ${session}, set_config('statement_timeout', $1, true)`)
// The host may have turned off the warning of a COMMIT that the replica did not confirm.
const showWarnings = command('SET LOCAL client_min_messages TO warning')
const commit = command('COMMIT')

/**
 * Makes one attempt. It is committed, unless there is a doubt. Any error rolls the transaction back.
 *
 * @param deadline a time of `performance.now()`
 */
export async function transact<Result> (
  client: PostgresClient, prepare: () => Update<Result>, reply: Reply, deadline: number
): Promise<{ decision: Decision<Result>, doubt: Doubt | undefined }> {
  throwIfGone(reply)
  const timeoutMs = millisecondsTo(deadline)
  try {
    const { queries, decide } = prepare()
    let rows = await runQueries(client, queries, deadline, [begin, configure([timeoutMs, Math.ceil(timeoutOf(deadline))].map(String))])
    // If the first query has waited for a transaction that made the contact anew, it has found neither row.
    if (rows[0] === undefined) rows = await runQueries(client, queries, deadline)
    const decision = await decideInTurn(() => {
      throwIfGone(reply)
      return decide(rows)
    })
    const doubt = await writeAndCommit(client, decision, reply, timeoutMs, deadline)
    // Without writes the attempt can be repeated.
    if (doubt !== undefined && decision.writes.length === 0) throw doubt.cause
    return { decision, doubt }
  } catch (error) {
    await rollBack(client, deadline)
    reply.unlock()
    throw error
  }
}

/** How many milliseconds decisions may take before the event loop goes round. Rows of many updates can arrive at once. */
const maxDecisionMs = 20
let decisionMs = 0
let nextTurn: Promise<void> | undefined

async function decideInTurn<Result> (decide: () => Result): Promise<Result> {
  while (nextTurn !== undefined) await nextTurn
  const start = performance.now()
  try {
    return decide()
  } finally {
    decisionMs += performance.now() - start
    if (decisionMs > maxDecisionMs) {
      decisionMs = 0
      // Twice, because the first may come before timers and sockets.
      nextTurn = setImmediate().then(() => setImmediate()).then(() => { nextTurn = undefined })
    }
  }
}

async function writeAndCommit (
  client: PostgresClient, { writes, beforeCommit }: Decision<unknown>, reply: Reply, timeoutMs: number, deadline: number
): Promise<Doubt | undefined> {
  let unsent = writes.map(toQuery)
  if (beforeCommit !== undefined) {
    const { results, error } = await send(client, [...unsent, ...savepoints], deadline)
    if (error !== undefined) throw error
    deliver(writes, results)
    const doubt = await callHost(client, beforeCommit, deadline)
    if (doubt !== undefined) {
      // As after COMMIT: the host may have committed the update.
      reply.lock(1)
      return doubt
    }
    // Fails if the host has ended the transaction, even if it has begun another one.
    unsent = [...releaseSavepoints, showWarnings]
  }
  throwIfGone(reply)
  const updates = writes.length > 0 ? 1 : 0
  reply.lock(updates)
  const warning = listenForWarning(client)
  const publishCommit = timeCommit('postgres', updates)
  // Waits as long as statement_timeout lets the server work, so that the error of the server comes first. That may be after the deadline.
  const answers = await send(client, [...unsent, commit], performance.now() + timeoutMs)
  const doubt = judgeCommit(answers, warning())
  if (doubt !== undefined) return doubt
  publishCommit()
  if (beforeCommit === undefined) deliver(writes, answers.results)
  return undefined
}

function deliver (writes: readonly Query[], results: readonly PostgresResult[]): void {
  for (const [index, write] of writes.entries()) write.onValue?.(toRows(write, results[index] as PostgresResult) as number)
}

/** Without an answer, the client must not go back to the pool: it may not know yet that its transaction is still open. */
async function rollBack (client: PostgresClient, deadline: number): Promise<void> {
  const { error } = await send(client, [rollback], deadline)
  if (error !== undefined) clientsToDrop.add(client)
}

/** @param first statements to run before the queries; the last of them selects the state of the session */
export async function runQueries (
  client: PostgresClient, queries: readonly Query[], deadline: number,
  first: readonly PostgresQuery[] = [limitRead([String(millisecondsTo(deadline))])]
): Promise<unknown[]> {
  const { results, error } = await send(client, [...first, ...queries.map(toQuery)], deadline)
  const [state] = results[first.length - 1]?.rows as string[][] | undefined ?? []
  if (state !== undefined) checkSession(client, state)
  if (isTransactionAborted(error)) throw new UnusableClientError('a client of the pool was in a failed transaction')
  if (error !== undefined) throw error
  return queries.map((query, index) => toRows(query, results[first.length + index] as PostgresResult))
}

/** The user and settings with which each client was first used. */
const sessions = new WeakMap<PostgresClient, string>()

/** @throws {UnusableClientError} if text would arrive as other characters, or the host has left the client with another user or other settings */
function checkSession (client: PostgresClient, [encoding, session = '']: string[]): void {
  if (encoding !== 'UTF8') throw new UnusableClientError(`a client of the pool has the client_encoding ${encoding}`)
  const first = sessions.get(client) ?? session
  sessions.set(client, first)
  if (session !== first) throw new StaleClientError(`a client of the pool has the ${session}, and had the ${first}`)
}
