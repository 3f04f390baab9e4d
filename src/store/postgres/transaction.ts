// One attempt at an update, in two round trips: [BEGIN, reads], then the decision, then [writes, COMMIT]. A `beforeCommit` of the
// host takes one more. The contact is locked by the first read, and nothing counts as done before the server has said COMMIT.

import { RequestGoneError } from '../../errors.js'
import type { Decision, HostCallback, Query, Update } from '../operation.js'
import type { Reply } from '../store.js'
import { isTransactionAborted, isTransient, UnusableClientError } from './errors.js'
import type { PostgresClient, PostgresQuery } from './handle.js'
import { judgeCommit, listenForReplica, type Attempt } from './in-doubt.js'
import { resultsOf, send } from './pipeline.js'
import { markLost } from './pool.js'
import { statement, toQuery, toRows } from './statements.js'

// The host may have made another isolation level the default.
const begin = statement('BEGIN ISOLATION LEVEL READ COMMITTED')([])
const commit = statement('COMMIT')([])
const rollback = statement('ROLLBACK')([])
const configure = statement(`SELECT current_setting('client_encoding'), set_config('statement_timeout', $1, true),
  set_config('lock_timeout', '0', true), set_config('client_min_messages', 'warning', true)`)
const savepoint = statement('SAVEPOINT omnichannel_update')([])
const releaseSavepoint = statement('RELEASE SAVEPOINT omnichannel_update')([])
const rollbackToSavepoint = statement('ROLLBACK TO SAVEPOINT omnichannel_update')([])
const readEncoding = statement("SELECT current_setting('client_encoding')")([])

/**
 * Any error rolls the transaction back.
 *
 * @param deadline a time of `performance.now()`
 */
export async function transact<Result> (
  client: PostgresClient, prepare: () => Update<Result>, reply: Reply, deadline: number
): Promise<Attempt<Result>> {
  refuseGone(reply)
  const timeoutMs = Math.max(deadline - performance.now(), 1)
  let decision: Decision<Result> | undefined
  try {
    const { queries, decide } = prepare()
    const rows = await read(client, [begin, configure([String(Math.ceil(timeoutMs))])], queries, deadline)
    refuseGone(reply)
    decision = decide(rows)

    const unsent = await write(client, decision.writes, reply, deadline)
    refuseGone(reply)
    reply.lock()
    const isConfirmed = listenForReplica(client)
    const outcomes = await send(client, [...unsent, commit], performance.now() + timeoutMs)
    return { decision, end: judgeCommit(outcomes, unsent.length, isConfirmed()) }
  } catch (error) {
    // Its own time-out ends a connection on which a statement hangs.
    await send(client, [rollback], deadline)
    if (error instanceof EndedByHostError && decision !== undefined) {
      reply.lock()
      return { decision, end: { is: 'ended-by-host', cause: error.cause } }
    }
    reply.unlock()
    throw error
  }
}

/** Runs queries outside of a transaction. */
export async function query (client: PostgresClient, queries: readonly Query[], deadline: number): Promise<unknown[]> {
  return await read(client, [readEncoding], queries, deadline)
}

/** @param first statements to run before the queries; the last of them selects the encoding */
async function read (
  client: PostgresClient, first: readonly PostgresQuery[], queries: readonly Query[], deadline: number
): Promise<unknown[]> {
  const outcomes = await send(client, [...first, ...queries.map(toQuery)], deadline)
  const [outcome] = outcomes
  if (outcome !== undefined && 'error' in outcome && isTransactionAborted(outcome.error)) {
    throw new UnusableClientError('a client of the pool was in a failed transaction')
  }
  const results = resultsOf(outcomes)
  const [[encoding] = []] = results[first.length - 1]?.rows as string[][]
  // Otherwise text would arrive as other characters.
  if (encoding !== 'UTF8') throw new UnusableClientError(`a client of the pool has the client_encoding ${encoding}`)
  return toRows(queries, results.slice(first.length))
}

function refuseGone (reply: Reply): void {
  if (!reply.isPending()) throw new RequestGoneError()
}

/** Returns the statements that go out together with COMMIT. */
async function write (
  client: PostgresClient, writes: ReadonlyArray<Query | HostCallback>, reply: Reply, deadline: number
): Promise<PostgresQuery[]> {
  let unsent: PostgresQuery[] = []
  for (const write of writes) {
    if ('call' in write) {
      resultsOf(await send(client, [...unsent, savepoint], deadline))
      await callHost(client, write, deadline)
      refuseGone(reply)
      // Fails when the host has ended the transaction, whatever it has begun since.
      unsent = [releaseSavepoint]
    } else {
      unsent.push(toQuery(write))
    }
  }
  return unsent
}

/** The host may have committed the transaction: the rows must be asked. */
class EndedByHostError extends Error {}

async function callHost (client: PostgresClient, { call }: HostCallback, deadline: number): Promise<void> {
  const { release, end } = client
  const released = { byHost: false }
  client.release = () => { released.byHost = true }
  client.end = () => {
    released.byHost = true
    return Promise.resolve()
  }
  let timer: NodeJS.Timeout | undefined
  try {
    await Promise.race([
      call(client as never),
      new Promise((_resolve, reject) => {
        const fail = (): void => {
          // It may still send something.
          markLost(client)
          reject(new EndedByHostError('', { cause: new Error('beforeCommit has not ended by the deadline') }))
        }
        timer = setTimeout(fail, Math.max(deadline - performance.now(), 0))
      })
    ])
    if (released.byHost) throw new Error('beforeCommit has released its client, or ended it')
    if (client.getTransactionStatus() === 'E') throw new Error('beforeCommit has let the transaction fail')
  } catch (error) {
    throw error instanceof EndedByHostError ? error : await explain(client, error, deadline)
  } finally {
    clearTimeout(timer)
    Object.assign(client, { release, end })
  }
}

/** An error of the host's own is never taken for one of the database. */
async function explain (client: PostgresClient, error: unknown, deadline: number): Promise<unknown> {
  const [released] = await send(client, [releaseSavepoint], deadline)
  if (released !== undefined && 'result' in released) return error
  const { cause } = Object(error) as { cause?: unknown }
  const reason = isTransient(cause) ? cause : error
  // In a failed transaction only this tells whether the savepoint is there.
  const [undone] = await send(client, [rollbackToSavepoint], deadline)
  return undone !== undefined && 'result' in undone ? reason : new EndedByHostError('', { cause: reason })
}
