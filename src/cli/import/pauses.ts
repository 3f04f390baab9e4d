// The importer works without awaiting. Here it stops for others: for a server that wants to write, for a signal.

import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'

const longestHold = 50 // ms
// A server that waits for the write lock looks again after 16 ms at most, and its timer may be late.
const gap = 25 // ms

/**
 * Returns what is awaited between two transactions. It leaves the write lock free for long enough to be found free; not
 * after every one of many small transactions, which would take hours.
 */
export function createGaps (signal: AbortSignal): () => Promise<void> {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < longestHold) return
    await pause(gap, undefined, { signal })
    since = performance.now()
  }
}

/** Rejects when a signal has arrived meanwhile. Signals are looked for between two turns, so one alone may not see it. */
export async function lookForSignals (signal: AbortSignal): Promise<void> {
  await nextTurn()
  await nextTurn(undefined, { signal })
}
