/** Less than the promised 100 ms, because a timeout may come some milliseconds late. */
const BUDGET_MS = 75
/** For a large contact: the rest of its update takes more than half of the promised time. */
const MIN_BUDGET_MS = 25
/** Up to this, elapsed time counts, because reading the processor time takes longer than most patterns. */
const MAX_UNTIMED_MS = 15

/** The processor time that the patterns of one request may take together. */
export type Budget = ReturnType<typeof createBudget>

/**
 * The processor time of this thread cannot be read. It is at most the elapsed time, and at most the processor time of the process, so the
 * smaller of the two counts.
 *
 * @param reservedMs how long the rest of the update takes
 */
export function createBudget (reservedMs: number) {
  const budgetMs = Math.max(MIN_BUDGET_MS, BUDGET_MS - reservedMs)
  const start = performance.now()
  let clock: { usedBefore: number, cpuUsage: NodeJS.CpuUsage } | undefined

  /** Begins to measure the processor time. Must be called before anything that may take long. */
  function startCpuClock (): NonNullable<typeof clock> {
    return clock ??= { usedBefore: Math.min(performance.now() - start, MAX_UNTIMED_MS), cpuUsage: process.cpuUsage() }
  }

  /** Returns how many milliseconds are left. */
  function left (): number {
    const elapsed = performance.now() - start
    if (elapsed < MAX_UNTIMED_MS) return budgetMs - elapsed
    const { usedBefore, cpuUsage } = startCpuClock()
    const { user, system } = process.cpuUsage(cpuUsage)
    return budgetMs - Math.min(elapsed, usedBefore + (user + system) / 1000)
  }

  return { left, startCpuClock }
}
