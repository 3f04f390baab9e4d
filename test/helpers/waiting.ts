// For tests of updates that wait.

import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Db } from './database.js'

/** Options of a host that knows its callers, so that the database is not read before the update itself. */
export const knownCaller = { authenticate: () => ({ id: 'ann' }), authorize: () => true }

/** Lets the event loop run. */
export async function turns (count: number): Promise<void> {
  for (let i = 0; i < count; i++) await pause(1)
}

/** Waits until a condition is true. */
export async function until (isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isTrue()) await pause(1)
}

/** The current name of maria. */
export async function nameOfMaria (db: Db): Promise<string | undefined> {
  return await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'")
}

/** Replaces `performance.now`. By default time stands still, so that no batch ends because of its length. */
export function replaceClock (t: Pick<Test, 'teardown'>, now = (): number => 0): void {
  performance.now = now
  t.teardown(() => { Reflect.deleteProperty(performance, 'now') })
}

/** A promise, and the function that resolves it. */
export function signal (): { fired: Promise<void>, fire: () => void } {
  let fire!: () => void
  const fired = new Promise<void>((resolve) => { fire = resolve })
  return { fired, fire }
}

/** In milliseconds. Tests do not wait for it, but let it expire with `catchTimer`. */
export const handlerTimeout = 123_456

/** Catches the timers that Fastify sets for `handlerTimeout`. `catchTimer(t)()` returns a function that lets the last timer expire. */
export function catchTimer (t: Pick<Test, 'intercept'>): () => () => void {
  const { setTimeout } = globalThis
  let last: () => void = () => undefined
  t.intercept(globalThis, 'setTimeout', {
    value: (work: () => void, ms?: number, ...values: []) => {
      const timer = setTimeout(work, ms, ...values)
      if (ms !== handlerTimeout) return timer
      last = work
      // Fastify does not clear the timer of a reply that was hijacked.
      return timer.unref()
    }
  })
  return () => last
}
