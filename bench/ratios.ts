// Ratios of medians would compare rounds that were minutes apart. Each round's ratio compares neighbours; the median of
// those is what counts, and their range says how far to trust it.

import type { Hits } from './client.js'
import type { Result } from './measure.js'
import type { Contestant } from './server.js'

export interface Ratio {
  median: number
  lowest: number
  highest: number
}

export function median (values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] ?? NaN : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** How a figure of one entrant compares to that of another, round by round. */
export function ratioOf<Round> (result: { rounds: Round[][] }, one: number, other: number, figure: (round: Round) => number): Ratio {
  const others = result.rounds[other] ?? []
  const ratios = (result.rounds[one] ?? []).map((round, index) => figure(round) / figure(others[index] as Round))
  return { median: median(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) }
}

export function indexOf (result: Result, contestant: Contestant): number {
  return result.entrants.findIndex((entrant) => entrant.contestant === contestant)
}

export const speed = (round: Hits): number => round.perSecond
export const latency = (round: Hits): number => round.latency.median
