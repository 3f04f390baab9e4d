// One attempt at an update, in two round trips: [BEGIN, reads], then the decision, then [writes, COMMIT]. A `beforeCommit` of the
// host takes one more. The first read locks the contact.
//
// `judgeCommit` in in-doubt.ts reads the answer to COMMIT:
// - success: the update is committed;
// - an error: nothing was committed, and `transact` throws it;
// - no clear answer, such as a lost connection: `transact` returns a doubt. The pool drops the client, and store.ts looks up with another
//   client whether the update was committed. If it was, it is answered with 200. If it was not, it fails with the reason of the doubt, and
//   is tried again if that is transient. If this stays unknown, it fails with an InDoubtError.

import { setImmediate } from 'node:timers/promises'
import { startCommitTimer } from '../../diagnostics.js'
import { DatabaseBusyError } from '../../errors.js'
import type { CommitOutcome, Decision, Query, Read, Update } from '../operation.js'
import { throwIfGone, type ReplyGuard } from '../store.js'
import { isTransactionAborted, UnusableClientError } from './errors.js'
import type { PostgresClient, PostgresQuery, PostgresResult } from './handle.js'
import { callBeforeCommit, releaseSavepoints, setSavepoints } from './before-commit.js'
import { judgeCommit, listenForWarning, type Doubt } from './in-doubt.js'
import { answerTimeoutMs, maxQueries, send, serverTimeoutMs } from './pipeline.js'
import { clientsToDrop } from './pool.js'
import { command, disableTransactionTimeout, rollback, statement, toQuery, toRows } from './statements.js'

// Two columns for `checkSession`. The first is the client's encoding. The second is a text with the settings that a host can leave changed
// on a client. It also names temporary tables, because PostgreSQL finds these before other tables of the same name.
const sessionColumns = `current_setting('client_encoding'), concat('user ', current_user, ', search_path ', current_setting('search_path'),
  ', synchronous_commit ', current_setting('synchronous_commit'), ', row_security ', current_setting('row_security'),
  ', session_replication_role ', current_setting('session_replication_role'),
  CASE WHEN pg_my_temp_schema() <> 0 THEN (
    SELECT ', temporary tables ' || string_agg(relname, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'p', 'v') AND starts_with(relname, 'omnichannel_')) END)`
// The host may have made another isolation level the default.
const begin = statement('BEGIN ISOLATION LEVEL READ COMMITTED')([])
// Replaces the time limits of the host, in milliseconds: $1 for each statement, $2 for the time in which `beforeCommit` sends nothing.
// 0 means no limit.
const configure = statement(`SELECT ${sessionColumns}, set_config('statement_timeout', $1, true), set_config('lock_timeout', '0', true),
  set_config('idle_in_transaction_session_timeout', $2, true), ${disableTransactionTimeout},
  set_config('client_min_messages', 'warning', true)`)
const configureRead = statement(`SELECT ${sessionColumns}, set_config('statement_timeout', $1, true)`)
// `beforeCommit` may have turned off warnings. One of them says that the replica has not confirmed a COMMIT.
const showWarnings = command('SET LOCAL client_min_messages TO warning')
const commit = command('COMMIT')

interface Attempt<Result> {
  result: Result
  /** Set if it is not known whether the result was committed. */
  doubt?: Doubt & { outcome: Read<CommitOutcome<Result>> }
}

/** Makes one attempt at an update. After an error nothing is committed. `deadline` is a time of `performance.now()`. */
export async function transact<Result> (
  client: PostgresClient, prepare: () => Update<Result>, guard: ReplyGuard, deadline: number
): Promise<Attempt<Result>> {
  throwIfGone(guard)
  const timeoutMs = serverTimeoutMs(deadline)
  const idleTimeoutMs = Math.ceil(answerTimeoutMs(deadline))
  try {
    const { queries, decide } = prepare()
    let rows = await runQueries(client, queries, deadline, [begin, configure([String(timeoutMs), String(idleTimeoutMs)])])
    // The contact was not found. Another transaction may have deleted it and made it anew while the read waited for the lock. A second read
    // finds the new one.
    if (rows[0] === undefined) rows = await runQueries(client, queries, deadline)
    const decision = await decideWithPauses(client, deadline, () => {
      throwIfGone(guard)
      return decide(rows)
    })
    const doubt = await writeAndCommit(client, decision, guard, timeoutMs, deadline)
    const { result, outcome } = decision
    if (doubt === undefined) return { result }
    // Nothing was written, so the attempt can be repeated without a look-up.
    if (outcome === undefined) throw doubt.cause
    return { result, doubt: { ...doubt, outcome } }
  } catch (error) {
    await rollBack(client, deadline)
    guard.unlock()
    throw error
  }
}

/** The rows of many updates can arrive at once. After this many milliseconds of decisions, the rest wait until the event loop has run. */
const maxDecisionMs = 20
/** The length of the decisions since the last pause. */
let decisionMs = 0
let pause: Promise<void> | undefined

async function decideWithPauses<Result> (client: PostgresClient, deadline: number, decide: () => Result): Promise<Result> {
  const mustWait = pause !== undefined
  // An update that has waited too may have begun a new pause, so check again. Nothing else may be awaited before `decide`.
  while (pause !== undefined) await pause
  if (mustWait) throwIfLate(client, deadline)
  const start = performance.now()
  try {
    return decide()
  } finally {
    decisionMs += performance.now() - start
    if (decisionMs > maxDecisionMs) {
      decisionMs = 0
      // Twice, because the first one may come before timers and sockets.
      pause = setImmediate().then(() => setImmediate()).then(() => { pause = undefined })
    }
  }
}

/** Throws if the deadline was reached or the connection lost during a pause. */
function throwIfLate (client: PostgresClient, deadline: number): void {
  if (performance.now() >= deadline) {
    throw new DatabaseBusyError({ obstacle: 'other-transaction', cause: new Error('other updates were decided until the deadline') })
  }
  // The message begins like node-postgres' own, so `isTransient` knows it.
  if (clientsToDrop.has(client)) throw new Error('Connection terminated while other updates were decided')
}

async function writeAndCommit (
  client: PostgresClient, { writes, beforeCommit }: Decision<unknown>, guard: ReplyGuard, timeoutMs: number, deadline: number
): Promise<Doubt | undefined> {
  // The decision has taken long too.
  if (writes.length > maxQueries) await setImmediate()
  let unsent = writes.map(toQuery)
  if (beforeCommit !== undefined) {
    const { results, error } = await send(client, [...unsent, ...setSavepoints], deadline)
    if (error !== undefined) throw error
    reportValues(writes, results)
    const doubt = await callBeforeCommit(client, beforeCommit, deadline)
    if (doubt !== undefined) {
      // The host may have committed the update, so from now on only the update may answer.
      guard.lock(1)
      return doubt
    }
    // Releasing fails if the host has ended the transaction, even if it has begun another one.
    unsent = [...releaseSavepoints, showWarnings]
  }
  throwIfGone(guard)
  const updates = writes.length > 0 ? 1 : 0
  guard.lock(updates)
  const stopListening = listenForWarning(client)
  const publishCommit = startCommitTimer('postgres', updates)
  // The server may work on COMMIT for `timeoutMs`, so wait that long for its answer, even past the deadline.
  const answers = await send(client, [...unsent, commit], performance.now() + timeoutMs)
  const doubt = judgeCommit(answers, stopListening())
  if (doubt !== undefined) return doubt
  publishCommit()
  if (beforeCommit === undefined) reportValues(writes, answers.results)
  return undefined
}

/** Passes the value that each check has found to its `onValue`. */
function reportValues (writes: readonly Query[], results: readonly PostgresResult[]): void {
  for (const [index, write] of writes.entries()) write.onValue?.(toRows(write, results[index] as PostgresResult) as number)
}

/** If ROLLBACK gets no answer, the transaction may still be open, so the pool must drop the client. */
async function rollBack (client: PostgresClient, deadline: number): Promise<void> {
  const { error } = await send(client, [rollback], deadline)
  if (error !== undefined) clientsToDrop.add(client)
}

/**
 * Runs queries in one round trip, and returns the rows of each.
 *
 * @param setup statements to run before the queries; the last of them selects `sessionColumns`
 */
export async function runQueries (
  client: PostgresClient, queries: readonly Query[], deadline: number,
  setup: readonly PostgresQuery[] = [configureRead([String(serverTimeoutMs(deadline))])]
): Promise<unknown[]> {
  const { results, error } = await send(client, [...setup, ...queries.map(toQuery)], deadline)
  const [session] = results[setup.length - 1]?.rows as string[][] | undefined ?? []
  if (session !== undefined) checkSession(client, session)
  if (isTransactionAborted(error)) throw new UnusableClientError('a client of the pool was in a failed transaction')
  if (error !== undefined) throw error
  return queries.map((query, index) => toRows(query, results[setup.length + index] as PostgresResult))
}

/** The settings with which each client was first used. */
const firstSettings = new WeakMap<PostgresClient, string>()

/** @throws {UnusableClientError} if the client does not use UTF-8, or the host has changed its user or settings since the first use */
function checkSession (client: PostgresClient, [encoding, settings = '']: string[]): void {
  if (encoding !== 'UTF8') throw new UnusableClientError(`a client of the pool has the client_encoding ${encoding}`)
  const first = firstSettings.get(client) ?? settings
  firstSettings.set(client, first)
  if (settings !== first) throw new UnusableClientError(`a client of the pool has the ${settings}, and had the ${first}`)
}
