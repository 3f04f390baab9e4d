// How long the event loop is held. A chain of setImmediate gets one call a turn, so the time between two calls is a
// whole turn, every one of them is seen, and none is estimated. Turns in which nothing happened are left out, as they
// would flatter the percentiles. (perf_hooks' monitorEventLoopDelay samples by a timer, so it misses turns.)

import { createHistogram } from 'node:perf_hooks'

const idle = 50_000 // ns

export interface Turns {
  count: number
  /** Milliseconds. */
  median: number
  p999: number
  max: number
  /** The processor time of the process in it: what is left when the machine gives its cores to somebody else. */
  cpu: { p999: number, max: number }
}

export function watchTurns (): { stop: () => Turns } {
  const histogram = createHistogram({ figures: 3 })
  const processor = createHistogram({ figures: 3 })
  let lastCpu = cpuTime()
  let last = process.hrtime.bigint()
  let running = true
  const turn = (): void => {
    const now = process.hrtime.bigint()
    const length = now - last
    last = now
    const cpu = cpuTime()
    if (length > idle) {
      histogram.record(length)
      processor.record(Math.max(1, cpu - lastCpu))
    }
    lastCpu = cpu
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  return {
    stop: () => {
      running = false
      const { count, max } = histogram
      return {
        count,
        median: histogram.percentile(50) / 1e6,
        p999: histogram.percentile(99.9) / 1e6,
        max: max / 1e6,
        cpu: { p999: processor.percentile(99.9) / 1e3, max: processor.max / 1e3 }
      }
    }
  }
}

/** Microseconds. */
function cpuTime (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
