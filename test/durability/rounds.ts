// The arguments and the output of `npm run crash` and `npm run failover`.

import { parseArgs } from 'node:util'
import type { Damage } from './ledger.js'

export interface Round extends Damage {
  /** How many updates were answered with 200. */
  acknowledged: number
  /** How many of them were sent more than once. */
  repeated: number
  /** How many of the repeated ones had already been committed. Only their answer was lost. */
  foundDone: number
}

export function readArguments (defaultRounds: number): { rounds: number, seed: number } {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: String(defaultRounds) }, seed: { type: 'string', default: String(newSeed()) } }
  })
  const [rounds, seed] = [Number(values.rounds), Number(values.seed)]
  if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) throw new Error('--rounds and --seed take whole numbers')
  return { rounds, seed }
}

export function newSeed (): number {
  return Date.now() % 1e6
}

/** Returns numbers from 0 to 1, the same for the same seed. (Mulberry32) */
export function createRandom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function countsOf ({ acknowledged, repeated, foundDone }: Round): string {
  return `${acknowledged} acknowledged, ${repeated} repeated, ${foundDone} found done`
}

/** `circumstances` are the columns before the counts. */
export function printRound (index: number, circumstances: string[], round: Round, verdict = verdictOn(round)): void {
  console.log([String(index + 1).padStart(3), ...circumstances, countsOf(round), verdict].join('  '))
}

export function verdictOn ({ losses, doubles }: Damage): string {
  const damage = [...losses.map((loss) => `LOST ${loss}`), ...doubles.map((double) => `DOUBLE ${double}`)]
  return damage.length === 0 ? 'all there, once' : damage.join('; ')
}

/** Prints the sums. The exit code is 1 if anything was lost or done twice. */
export function printTotal (rounds: readonly Round[]): void {
  const sum = (count: (round: Round) => number): number => rounds.reduce((total, round) => total + count(round), 0)
  const [lost, double] = [sum(({ losses }) => losses.length), sum(({ doubles }) => doubles.length)]
  console.log(`${rounds.length} rounds: ${sum(({ acknowledged }) => acknowledged)} updates acknowledged, ${sum(({ repeated }) => repeated)} repeated, ` +
    `${sum(({ foundDone }) => foundDone)} of them found done, ${lost} lost, torn or broken, ${double} double`)
  if (lost + double > 0) process.exitCode = 1
}
