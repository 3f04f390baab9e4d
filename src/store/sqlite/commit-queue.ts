// Updates that wait together share one commit.
//
// A turn takes the updates that have arrived since the last one and runs them one after another inside a single
// BEGIN IMMEDIATE … COMMIT, each in a savepoint of its own, so a refused update undoes only itself. Nobody is
// answered before the COMMIT. A turn waits for nobody to join it: a single update is run in the next setImmediate.
//
// A turn never joins a transaction of the host and never lets SQLite sleep on a lock. Where the handle is in use or
// another process holds the lock, the updates stay in line and the turn is tried again a few milliseconds later,
// until each one's own deadline.

import { isBusy, withoutBusyTimeout } from './busy.js'
import type { SqliteDatabase, SqliteStatement } from './sqlite-store.js'
import { DatabaseBusyError } from '../../errors.js'

/** The updates of one database handle, in the order of their arrival. */
export interface CommitQueue {
  /**
   * Runs `work` in a transaction and resolves to what it returned, once that is committed. Rejects with what it threw,
   * once that is undone. `work` must not await, and may be run again when a transaction was lost to somebody else.
   *
   * @throws {DatabaseBusyError} when the database could not be had within `lockTimeout` milliseconds
   */
  commit: <Result>(work: () => Result, lockTimeout: number) => Promise<Result>
  /** Resolves when every update that waits now has been answered. */
  settled: () => Promise<unknown>
}

interface Update {
  work: () => unknown
  deadline: number
  /** To be run in a transaction of its own, because one that it shared was lost. */
  alone: boolean
  promise: Promise<unknown>
  resolve: (result: unknown) => void
  reject: (error: unknown) => void
}

/** Resolves or rejects an update; called after COMMIT. */
type Answer = () => void

/** After this long a turn commits what it has done and leaves the rest to the next one. */
const turnLimit = 2 // ms
const shortestPause = 1 // ms
const longestPause = 16 // ms

export function createCommitQueue (database: SqliteDatabase): CommitQueue {
  const waiting: Update[] = []
  let scheduled = false
  let pause = shortestPause

  function schedule (delay = 0): void {
    if (scheduled || waiting.length === 0) return
    scheduled = true
    if (delay === 0) setImmediate(turn)
    else setTimeout(turn, delay)
  }

  function turn (): void {
    scheduled = false
    const taken: Update[] = []
    try {
      if (database.inTransaction) return postpone(taken)
      const answers = withoutBusyTimeout(database, () => commitTogether(taken))
      pause = shortestPause
      for (const answer of answers) answer()
    } catch (error) {
      if (isBusy(error)) return postpone(taken)
      // COMMIT was refused; or not even BEGIN was possible (read-only, closed), and then nobody in line has a chance.
      for (const update of taken.length > 0 ? taken : waiting.splice(0)) update.reject(error)
    }
    schedule()
  }

  /** Moves updates from the line to `taken`, and returns how to answer them. */
  function commitTogether (taken: Update[]): Answer[] {
    const answers: Answer[] = []
    const end = performance.now() + turnLimit
    const mayShare = (): boolean => taken[0]?.alone === false && waiting[0]?.alone === false
    run('BEGIN IMMEDIATE')
    try {
      do {
        const update = waiting.shift() as Update
        taken.push(update)
        answers.push(attempt(update))
        if (!database.inTransaction) return startAgain(taken, answers)
      } while (mayShare() && performance.now() < end)
      run('COMMIT')
      return answers
    } catch (error) {
      if (database.inTransaction) run('ROLLBACK')
      throw error
    }
  }

  function attempt (update: Update): Answer {
    run('SAVEPOINT omnichannel_update')
    try {
      const result = update.work()
      run('RELEASE omnichannel_update')
      return () => { update.resolve(result) }
    } catch (error) {
      if (database.inTransaction) {
        run('ROLLBACK TO omnichannel_update')
        run('RELEASE omnichannel_update')
      }
      // A host's function in a trigger may throw anything, and Fastify takes null for no error.
      return () => { update.reject(error ?? new Error('a function of the host threw no error')) }
    }
  }

  /**
   * The last one taken ended the whole transaction (RAISE(ROLLBACK) in a trigger, a full disk) and undid the others
   * with it: it is answered, they go back to the head of the line.
   */
  function startAgain (taken: Update[], answers: Answer[]): Answer[] {
    const others = taken.slice(0, -1)
    for (const update of others) update.alone = true
    waiting.unshift(...others)
    return answers.slice(-1)
  }

  /** Puts everybody back in line, but for those whose time is up, and tries again after a pause that grows. */
  function postpone (taken: Update[]): void {
    const now = performance.now()
    for (const update of [...taken, ...waiting.splice(0)]) {
      if (update.deadline > now) waiting.push(update)
      else update.reject(new DatabaseBusyError())
    }
    schedule(pause)
    pause = Math.min(pause * 2, longestPause)
  }

  const prepared = new Map<string, SqliteStatement>()
  function run (command: string): void {
    let statement = prepared.get(command)
    if (statement === undefined) prepared.set(command, statement = database.prepare(command))
    statement.run()
  }

  return {
    commit: <Result>(work: () => Result, lockTimeout: number) => {
      const update = { work, deadline: performance.now() + lockTimeout, alone: false } as Update
      update.promise = new Promise((resolve, reject) => Object.assign(update, { resolve, reject }))
      waiting.push(update)
      schedule()
      return update.promise as Promise<Result>
    },
    settled: () => Promise.allSettled(waiting.map((update) => update.promise))
  }
}
