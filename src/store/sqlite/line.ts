// Who wants the database stands in line and is served in turns, in the order of arrival. Between two turns the event
// loop goes round, so however many wait, it is never held for longer than a turn.
//
// A turn never joins a transaction of the host and never lets SQLite sleep on a lock. Where the handle is in use or
// another process holds the lock, everybody stays in line and the turn is tried again a few milliseconds later, until
// each one's own deadline.

import { DatabaseBusyError } from '../../errors.js'
import { isBusy, withoutBusyTimeout } from './busy.js'
import type { SqliteDatabase } from './handle.js'
import type { Journal } from './journal.js'
import type { BeforeWriting } from './runner.js'

/** `beforeWriting` is to be called before the first write. */
export type Work<Result> = (beforeWriting?: BeforeWriting) => Result

/** One piece of work that waits. It must not await, and may be run again when a transaction was lost to somebody else. */
export interface Waiting {
  work: Work<unknown>
  deadline: number
  /** To be run in a transaction of its own, because one that it shared was lost. */
  alone: boolean
  promise: Promise<unknown>
  resolve: (result: unknown) => void
  reject: (error: unknown) => void
}

/** Resolves or rejects one who waited; called when the turn is over. */
export type Answer = () => void

/**
 * What happens in a turn: moves some from the line to `taken`, does their work, and returns how to answer them. What it
 * throws is the answer to all that were taken, or to everybody where nobody was.
 */
export type Serve = (line: Waiting[], taken: Waiting[]) => Answer[]

export interface Line {
  /** @throws {DatabaseBusyError} when the database could not be had within `lockTimeout` milliseconds */
  wait: <Result>(work: Work<Result>, lockTimeout: number) => Promise<Result>
  isEmpty: () => boolean
  /** Resolves when everybody who waits now has been answered. */
  settled: () => Promise<unknown>
}

/** After this long a turn ends with what it has done and leaves the rest to the next one. */
export const turnLimit = 2 // ms
/** Refusals take no time in the line, but each is a reply to be written. */
const refusalsATurn = 50
const shortestPause = 1 // ms
const longestPause = 16 // ms

export function createLine (database: SqliteDatabase, journal: Journal, serve: Serve): Line {
  let line: Waiting[] = []
  let earliest = Infinity
  let scheduled = false
  let pause = shortestPause

  function schedule (delay = 0): void {
    if (scheduled || line.length === 0) return
    scheduled = true
    if (delay === 0) setImmediate(turn)
    else setTimeout(turn, delay)
  }

  function turn (): void {
    scheduled = false
    const taken: Waiting[] = []
    try {
      // To look is cheap, and a host that has one transaction after the other leaves short gaps.
      if (database.inTransaction) return postpone(taken, shortestPause)
      const answers = journal.isWal ? serve(line, taken) : withoutBusyTimeout(database, () => serve(line, taken))
      pause = shortestPause
      for (const answer of answers) answer()
    } catch (error) {
      if (isBusy(error)) {
        postpone(taken, pause)
        pause = Math.min(pause * 2, longestPause)
        return
      }
      // COMMIT was refused; or not even BEGIN was possible (read-only, closed), and then nobody in line has a chance.
      for (const waiting of taken.length > 0 ? taken : line.splice(0, refusalsATurn)) waiting.reject(error)
    }
    schedule()
  }

  /** Puts those who were taken back at the head, refuses those whose time is up, and tries again after a pause. */
  function postpone (taken: Waiting[], delay: number): void {
    line.unshift(...taken)
    schedule(refuseLate() === refusalsATurn ? 0 : delay)
  }

  function refuseLate (): number {
    const now = performance.now()
    if (now < earliest) return 0
    const late = new Set(line.filter(({ deadline }) => deadline <= now).slice(0, refusalsATurn))
    line = line.filter((waiting) => !late.has(waiting))
    earliest = line.reduce((least, { deadline }) => Math.min(least, deadline), Infinity)
    for (const waiting of late) waiting.reject(new DatabaseBusyError())
    return late.size
  }

  return {
    wait: <Result>(work: Work<Result>, lockTimeout: number) => {
      const waiting = { work, deadline: performance.now() + lockTimeout, alone: false } as Waiting
      waiting.promise = new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject }))
      line.push(waiting)
      earliest = Math.min(earliest, waiting.deadline)
      schedule()
      return waiting.promise as Promise<Result>
    },
    isEmpty: () => line.length === 0,
    settled: () => Promise.allSettled(line.map(({ promise }) => promise))
  }
}
