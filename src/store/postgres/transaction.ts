// One transaction: BEGIN goes out with the first questions and COMMIT with the last, so that an update takes two round
// trips. What is judged is locked first and read after, and nothing counts as done before the server has said COMMIT.

import type { Call, Query, Question, Steps } from '../steps.js'
import { statement, toAnswers, toQuery } from './compiler.js'
import { leavesOpen } from './errors.js'
import type { PostgresClient, PostgresQuery } from './handle.js'
import { resultsOf, send } from './session.js'

// Whatever the host has made the default of its sessions.
const begin = statement('BEGIN ISOLATION LEVEL READ COMMITTED')([])
const commit = statement('COMMIT')([])
const rollback = statement('ROLLBACK')([])
const setTimeouts = statement(`SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', '0', true),
  set_config('client_min_messages', 'warning', true)`)

export interface Transaction<Result> {
  result: Result
  /** Whether the server has said COMMIT, and nothing against it. If not, it may have been done or not. */
  isCommitted: boolean
}

/**
 * Runs rules in a transaction. What they throw, or the database, undoes it.
 *
 * @param deadline when the questions, and after it the COMMIT, must have been answered; a time of `performance.now()`
 */
export async function transact<Result> (client: PostgresClient, steps: Steps<Result>, deadline: number): Promise<Transaction<Result>> {
  // What throws here has not begun anything.
  let step = steps.next()
  const patience = Math.max(deadline - performance.now(), 1)
  let unsent: PostgresQuery[] = [begin, setTimeouts([String(Math.ceil(patience))])]
  try {
    while (step.done !== true) {
      if (step.value.every(isLast)) {
        unsent = await writeUpToLastCall(client, unsent, step.value, deadline)
        step = steps.next([])
        break
      }
      const queries = step.value as readonly Query[]
      const results = resultsOf(await send(client, [...unsent, ...queries.map(toQuery)], deadline)).slice(unsent.length)
      unsent = []
      step = steps.next(toAnswers(queries, results))
    }
    return { result: step.value as Result, isCommitted: await end(client, unsent, performance.now() + patience) }
  } catch (error) {
    await send(client, [rollback], deadline)
    throw error
  }
}

function isLast (question: Question): boolean {
  return 'call' in question || question.description.kind === 'write'
}

/** Returns what may be sent together with COMMIT. */
async function writeUpToLastCall (
  client: PostgresClient, unsent: PostgresQuery[], questions: readonly Question[], deadline: number
): Promise<PostgresQuery[]> {
  for (const question of questions) {
    if ('call' in question) {
      resultsOf(await send(client, unsent, deadline))
      unsent = []
      await (question as Call<Promise<unknown>>).call(client as never)
      // COMMIT would then be of something else, or of nothing.
      if (client.getTransactionStatus() !== 'T') throw new Error('beforeCommit has ended the transaction, or let it fail')
    } else {
      unsent.push(toQuery(question))
    }
  }
  return unsent
}

/** Whether the server has said COMMIT. A warning in between means that its replica has not confirmed it. */
async function end (client: PostgresClient, unsent: PostgresQuery[], deadline: number): Promise<boolean> {
  let isWarned = false
  const warn = (): void => { isWarned = true }
  client.on('notice', warn)
  try {
    const outcomes = await send(client, [...unsent, commit], deadline)
    const refused = outcomes.find((outcome) => 'error' in outcome && !leavesOpen(outcome.error))
    if (refused !== undefined) resultsOf([refused])
    const ended = outcomes[unsent.length]
    // Where COMMIT has not even been sent, nothing is open.
    if (ended === undefined) resultsOf(outcomes)
    return ended !== undefined && 'result' in ended && ended.result.command === 'COMMIT' && !isWarned
  } finally {
    client.removeListener('notice', warn)
  }
}
