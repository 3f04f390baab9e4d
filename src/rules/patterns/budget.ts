/** Less than the 100 ms that are promised: a timeout may come some milliseconds late. */
const BUDGET_MS = 75
/** Up to this elapsed time, processor time need not be measured. */
const MAX_UNTIMED_MS = 15

/** The processor time that the patterns of one request may take together. */
export type Budget = ReturnType<typeof createBudget>

/**
 * Processor time is known for the whole process only, and elapsed time includes other processes. Neither is less than the processor
 * time of this thread, so the smaller one counts. `process.cpuUsage` takes longer than most patterns, so it is called late.
 */
export function createBudget () {
  const start = performance.now()
  let clock: { usedBefore: number, cpuUsage: NodeJS.CpuUsage } | undefined

  /** Must be called before anything that may take long. */
  function startCpuClock (): NonNullable<typeof clock> {
    return clock ??= { usedBefore: Math.min(performance.now() - start, MAX_UNTIMED_MS), cpuUsage: process.cpuUsage() }
  }

  /** Returns how many milliseconds are left. */
  function left (): number {
    const elapsed = performance.now() - start
    if (elapsed < MAX_UNTIMED_MS) return BUDGET_MS - elapsed
    const { usedBefore, cpuUsage } = startCpuClock()
    const { user, system } = process.cpuUsage(cpuUsage)
    return BUDGET_MS - Math.min(elapsed, usedBefore + (user + system) / 1000)
  }

  return { left, startCpuClock }
}
