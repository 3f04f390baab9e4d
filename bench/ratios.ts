import type { Run, ScenarioResult } from './run.js'

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

/** Compares two targets of a scenario round by round, because rounds may be minutes apart. */
export function ratioOf ({ runs }: ScenarioResult, figure: (run: Run) => number, one: number, other: number): Ratio {
  const ratios = runs[one]!.map((run, round) => figure(run) / figure(runs[other]![round]!))
  return { median: median(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) }
}
