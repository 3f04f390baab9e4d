// For tests of updates that wait.

import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Db } from './database.js'

/** Options of a host with its own users, so that the plugin does not read the database before the update. */
export const hostUsers = { authenticate: () => ({ id: 'ann' }), authorize: () => true }

/** Lets the event loop run for `count` turns of about a millisecond. Tests call it if they cannot see whether an update waits already. */
export async function waitTurns (count: number): Promise<void> {
  for (let i = 0; i < count; i++) await pause(1)
}

/** Checks a condition in each turn of the event loop, until it is true. */
export async function until (isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isTrue()) await pause(1)
}

/** The current name of maria. */
export async function nameOfMaria (db: Db): Promise<string | undefined> {
  return await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'")
}

/** Replaces `performance.now`. */
export function replaceClock (t: Pick<Test, 'teardown'>, now: () => number): void {
  performance.now = now
  t.teardown(() => { Reflect.deleteProperty(performance, 'now') })
}

/** Keeps a batch from reaching its limit of time, so that all waiting updates share one. */
export function stopBatchClock (t: Pick<Test, 'teardown'>): void {
  replaceClock(t, () => 0)
}

/** A promise, and the function that resolves it. */
export function signal (): { fired: Promise<void>, fire: () => void } {
  let fire!: () => void
  const fired = new Promise<void>((resolve) => { fire = resolve })
  return { fired, fire }
}

/** Fastify's option, in milliseconds. Tests do not wait so long: they find the timer by this unusual length, and call its function. */
export const handlerTimeout = 123_456

/** Intercepts the timers that Fastify sets for `handlerTimeout`. The returned function lets the last of them expire at once. */
export function replaceHandlerTimeout (t: Pick<Test, 'intercept'>): () => void {
  const lastTimer = catchTimer(t)
  return () => { lastTimer()() }
}

/** Does the same for tests with several requests. The returned function returns the function of the last timer, to be called later. */
export function catchTimer (t: Pick<Test, 'intercept'>): () => () => void {
  const { setTimeout } = globalThis
  let last: () => void = () => undefined
  t.intercept(globalThis, 'setTimeout', {
    value: (work: () => void, ms?: number, ...args: []) => {
      const timer = setTimeout(work, ms, ...args)
      if (ms !== handlerTimeout) return timer
      last = work
      // Fastify does not clear the timer of a reply that was hijacked.
      return timer.unref()
    }
  })
  return () => last
}
