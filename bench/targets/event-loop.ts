// Measures the turns of the event loop. A chain of setImmediate has one call in each turn, so the time between two calls is a whole turn.
// monitorEventLoopDelay of perf_hooks samples with a timer and misses turns. Idle turns are left out, because they would lower the percentiles.

import { createHistogram } from 'node:perf_hooks'

/** A turn that is shorter has done nothing. */
const IDLE_NS = 50_000

/** Lengths in milliseconds. */
export interface Turns {
  count: number
  median: number
  p999: number
  longest: number
}

/** Starts to measure. Returns a function that stops it and returns the turns. */
export function watchTurns (): () => Turns {
  const histogram = createHistogram({ figures: 3 })
  let last = process.hrtime.bigint()
  let isWatching = true
  const turn = (): void => {
    const now = process.hrtime.bigint()
    if (now - last > IDLE_NS) histogram.record(now - last)
    last = now
    if (isWatching) setImmediate(turn)
  }
  setImmediate(turn)
  return () => {
    isWatching = false
    const { count, max } = histogram
    return { count, median: histogram.percentile(50) / 1e6, p999: histogram.percentile(99.9) / 1e6, longest: max / 1e6 }
  }
}
