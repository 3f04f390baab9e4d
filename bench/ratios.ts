import type { Run, ScenarioResult, Target } from './run.js'
import type { TargetName } from './targets/server.js'

export interface Ratio {
  median: number
  lowest: number
  highest: number
}

export function median (values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export const speed = (run: Run): number => run.perSecond
export const latency = (run: Run): number => run.latency.median
export const cpu = (run: Run): number => run.appCpu + run.databaseCpu

/** Selects the first target with this name, or with these properties. */
type Selector = TargetName | Partial<Target>

export function runsOf ({ targets, runs }: ScenarioResult, selector: Selector): Run[] {
  const wanted = Object.entries(typeof selector === 'string' ? { name: selector } : selector)
  return runs[targets.findIndex((target) => wanted.every(([property, value]) => target[property as keyof Target] === value))]!
}

/** Compares two targets of a scenario round by round, because rounds may be minutes apart. */
export function ratioOf (result: ScenarioResult, figure: (run: Run) => number, one: Selector, other: Selector): Ratio {
  const otherRuns = runsOf(result, other)
  const ratios = runsOf(result, one).map((run, round) => figure(run) / figure(otherRuns[round]!))
  return { median: median(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) }
}
