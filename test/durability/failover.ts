// Is every acknowledged update still there after a failover? Two app nodes use one address of a database. It leads to a primary with a
// synchronous replica. The primary is killed with SIGKILL under load, in half of the rounds after it has lost that replica. Then either
// the replica is promoted and the address leads to it, or the primary is started again. The last round is a control: its replica is
// asynchronous, so some updates must get lost. If none is found missing, the run could not find losses at all.
//
//   npm run failover -- [--rounds 20] [--seed 1]

import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Address } from './address.js'
import { examine, openPostgres } from './ledger.js'
import { clients, startLoad } from './load.js'
import { startPair, type Pair } from './postgres-pair.js'
import { createRandom, printRound, printTotal, readArguments, verdictOn, type Round } from './rounds.js'
import { openEnvironment, type Environment } from './environment.js'

/**
 * What happens after the primary was killed. `promotion`: the replica is promoted. `restart`: the primary is started again. `relapse`: the
 * primary is started without its replica and killed again, then the replica is promoted. `control`: an asynchronous replica is promoted.
 */
export type Kind = 'promotion' | 'restart' | 'relapse' | 'control'
const kinds: Kind[] = ['promotion', 'promotion', 'restart', 'promotion', 'relapse']

/** What happens in a round, and after how many milliseconds. */
export interface Plan {
  kind: Kind
  /** Whether the replica's connection to the primary is cut before the kill. */
  isCut: boolean
  /** From the first acknowledged update. */
  cutAfterMs: number
  /** From the cut. */
  killAfterMs: number
  /** Whether transactions that wait for the replica are cancelled, half-way from the cut to the kill. */
  cancelsWaits: boolean
  /** From the start of a primary without its replica to the second kill. */
  killAgainAfterMs: number
  /** Whether the address leads to the replica before its promotion. */
  movesAddressFirst: boolean
  /** From the recovery to the end of the load. */
  endAfterMs: number
}

interface PlanOptions {
  kind: Kind
  cutsLink: boolean
  /** Returns numbers from 0 to 1. */
  random: () => number
  /** Multiplies the length of the load. */
  pace?: number
}

export function createPlan ({ kind, cutsLink, random, pace = 1 }: PlanOptions): Plan {
  const isCut = cutsLink || kind === 'relapse' || kind === 'control'
  return {
    kind,
    isCut,
    cutAfterMs: pace * (700 + 600 * random()),
    killAfterMs: kind === 'control' ? 300 : 300 * random(),
    cancelsWaits: random() < 0.5 && isCut && kind !== 'control',
    killAgainAfterMs: 100 + 300 * random(),
    movesAddressFirst: random() < 0.5,
    endAfterMs: pace * 500
  }
}

export interface FailoverRound extends Round {
  /** Milliseconds from the recovery of a primary to the first 200. */
  firstAfterMs: number
}

export async function failover ({ template, address, nodes }: Environment, plan: Plan): Promise<FailoverRound> {
  const pair = await startPair(template, plan.kind !== 'control')
  address.forwardTo(pair.primary)
  // Random: a timeout that suits one machine would be too short or too long for another.
  const timeoutMs = (): number => 100 + Math.round(900 * Math.random())
  const load = startLoad(nodes.map(({ port }) => port), { timeoutMs, retriedStatuses: [500, 503] })
  try {
    await load.waitFor(1)
    await pause(plan.cutAfterMs)
    if (plan.isCut) pair.link.forwardTo(undefined)
    await pause(plan.killAfterMs / 2)
    if (plan.cancelsWaits) await pair.cancelWaits()
    await pause(plan.killAfterMs / 2)
    // The asynchronous replica must lack some of them, so wait for more than were in flight at the cut.
    if (plan.kind === 'control') await load.waitFor(2 * clients)
    await pair.kill()
    const recoveredAt = await recover(pair, address, plan)
    await pause(plan.endAfterMs)
    await load.finish()

    const acknowledged = load.updates.filter(({ etag }) => etag !== undefined)
    const timesAfterRecovery = acknowledged.map(({ acknowledgedAt = 0 }) => acknowledgedAt).filter((time) => time >= recoveredAt)
    const store = openPostgres(plan.kind === 'restart' ? pair.primary : pair.replica)
    const damage = await examine(store, load.updates).finally(store.close)
    const endedNodes = nodes.filter((node) => node.hasEnded())
    return {
      acknowledged: acknowledged.length,
      repeated: acknowledged.filter(({ times }) => times > 1).length,
      foundDone: acknowledged.filter(({ isReplay }) => isReplay).length,
      firstAfterMs: Math.round(Math.min(...timesAfterRecovery) - recoveredAt),
      losses: [...load.surprises, ...endedNodes.map(({ port }) => `the node at ${port} has ended`), ...damage.losses],
      doubles: damage.doubles
    }
  } finally {
    load.abandon()
    address.forwardTo(undefined)
    await pair.remove()
  }
}

/** Starts or promotes a primary. Returns the time at which there was one again, by `performance.now()`. */
async function recover (pair: Pair, address: Address, { kind, killAgainAfterMs, movesAddressFirst }: Plan): Promise<number> {
  if (kind === 'restart') {
    pair.link.forwardTo(pair.primary)
    return await pair.restart()
  }
  if (kind === 'relapse') {
    await pair.restart()
    await pause(killAgainAfterMs)
    await pair.kill()
  }
  if (movesAddressFirst) address.forwardTo(pair.replica)
  const promotedAt = await pair.promote()
  if (!movesAddressFirst) address.forwardTo(pair.replica)
  return promotedAt
}

async function main (): Promise<void> {
  const { rounds, seed } = readArguments(20)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  console.log(`${rounds} rounds and a control, seed ${seed}`)
  const random = createRandom(seed)
  const environment = await openEnvironment()
  const runRound = async (index: number, kind: Kind): Promise<FailoverRound> => {
    const plan = createPlan({ kind, cutsLink: index % 2 === 1, random })
    const round = await failover(environment, plan)
    const cut = plan.isCut ? `cut ${Math.round(plan.killAfterMs)} ms before${plan.cancelsWaits ? ', waits cancelled' : ''}` : 'not cut'
    const verdict = kind === 'control' ? `${round.losses.length} losses found, as expected` : verdictOn(round)
    printRound(index, [kind.padEnd(9), cut, `first 200 after ${round.firstAfterMs} ms`], round, verdict)
    return round
  }
  try {
    const results: FailoverRound[] = []
    for (let index = 0; index < rounds; index++) results.push(await runRound(index, kinds[index % kinds.length]!))
    const control = await runRound(rounds, 'control')
    if (control.losses.length === 0) throw new Error('the control has lost nothing, so this run cannot find losses')
    printTotal(results)
  } finally {
    environment.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
