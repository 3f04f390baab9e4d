// Is every acknowledged update still there after a failover? Two app nodes serve one address. Behind it stands a primary with a
// synchronous replica. The primary is killed with SIGKILL under load, half of the time after it has lost that replica. Then either the
// replica is promoted and the address moves, or the primary comes back. A last round is the control: its replica is asynchronous, so it
// must lose some updates. If it finds none, the run cannot find losses.
//
//   npm run failover -- [--rounds 20] [--seed 1]

import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Address } from './address.js'
import { examine, openPostgres } from './ledger.js'
import { clients, startLoad } from './load.js'
import { startPair, type Pair } from './postgres-pair.js'
import { createRandom, printRound, printTotal, readArguments, type Round } from './rounds.js'
import { openEnvironment, type Environment } from './environment.js'

/**
 * What follows the death of the primary. `promotion`: the replica is promoted. `restart`: the primary comes back. `relapse`: it comes
 * back without its replica and dies again, then the replica is promoted. `control`: an asynchronous replica is promoted.
 */
export type Kind = 'promotion' | 'restart' | 'relapse' | 'control'
const kinds: Kind[] = ['promotion', 'promotion', 'restart', 'promotion', 'relapse']

/** What happens in a round, and when. Times are in milliseconds. */
export interface Plan {
  kind: Kind
  /** The replica's link is cut before the kill. */
  isCut: boolean
  cutAfter: number
  killedAfter: number
  /** Transactions that wait for the replica are cancelled, half-way to the kill. */
  isCancelled: boolean
  /** How long a primary lives that came back without its replica. */
  relapsedAfter: number
  /** The address leads to the replica before its promotion. */
  movesFirst: boolean
  endsAfter: number
}

/** @param pace stretches or shortens the load */
export function createPlan (kind: Kind, cutsLink: boolean, random: () => number, pace = 1): Plan {
  const isCut = cutsLink || kind === 'relapse' || kind === 'control'
  return {
    kind,
    isCut,
    cutAfter: pace * (700 + 600 * random()),
    killedAfter: kind === 'control' ? 300 : 300 * random(),
    isCancelled: random() < 0.5 && isCut && kind !== 'control',
    relapsedAfter: 100 + 300 * random(),
    movesFirst: random() < 0.5,
    endsAfter: pace * 500
  }
}

export interface FailoverRound extends Round {
  /** Milliseconds from the return of a primary to the first 200. */
  firstAfter: number
}

export async function failover ({ template, address, nodes }: Environment, plan: Plan): Promise<FailoverRound> {
  const pair = await startPair(template, plan.kind !== 'control')
  address.forwardTo(pair.primary)
  // Random: a timeout that suits one machine would be too short or too long for another.
  const timeoutMs = (): number => 100 + Math.round(900 * Math.random())
  const load = startLoad(nodes.map(({ port }) => port), { timeoutMs, retriedStatuses: [500, 503] })
  try {
    await load.waitFor(1)
    await pause(plan.cutAfter)
    if (plan.isCut) pair.link.forwardTo(undefined)
    await pause(plan.killedAfter / 2)
    if (plan.isCancelled) await pair.cancelWaits()
    await pause(plan.killedAfter / 2)
    // More than were in flight when the link was cut, also on a slow machine.
    if (plan.kind === 'control') await load.waitFor(2 * clients)
    await pair.kill()
    const recoveredAt = await recover(pair, address, plan)
    await pause(plan.endsAfter)
    await load.finish()

    const acknowledged = load.updates.filter(({ etag }) => etag !== undefined)
    const first = Math.min(...acknowledged.map(({ acknowledgedAt = 0 }) => acknowledgedAt).filter((time) => time >= recoveredAt))
    const store = openPostgres(plan.kind === 'restart' ? pair.primary : pair.replica)
    const damage = await examine(store, load.updates).finally(store.close)
    const ended = nodes.filter((node) => node.hasEnded())
    return {
      acknowledged: acknowledged.length,
      repeated: acknowledged.filter(({ times }) => times > 1).length,
      foundDone: acknowledged.filter(({ isReplay }) => isReplay).length,
      firstAfter: Math.round(first - recoveredAt),
      losses: [...load.surprises, ...ended.map(({ port }) => `the node at ${port} has ended`), ...damage.losses],
      doubles: damage.doubles
    }
  } finally {
    load.abandon()
    address.forwardTo(undefined)
    await pair.remove()
  }
}

/** Returns the time at which there was a primary again, by `performance.now()`. */
async function recover (pair: Pair, address: Address, { kind, relapsedAfter, movesFirst }: Plan): Promise<number> {
  if (kind === 'restart') {
    pair.link.forwardTo(pair.primary)
    return await pair.restart()
  }
  if (kind === 'relapse') {
    await pair.restart()
    await pause(relapsedAfter)
    await pair.kill()
  }
  if (movesFirst) address.forwardTo(pair.replica)
  const promotedAt = await pair.promote()
  if (!movesFirst) address.forwardTo(pair.replica)
  return promotedAt
}

async function main (): Promise<void> {
  const { rounds, seed } = readArguments(20)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  console.log(`${rounds} rounds and a control, seed ${seed}`)
  const random = createRandom(seed)
  const environment = await openEnvironment()
  const runRound = async (index: number, kind: Kind): Promise<FailoverRound> => {
    const plan = createPlan(kind, index % 2 === 1, random)
    const round = await failover(environment, plan)
    const cut = plan.isCut ? `cut ${Math.round(plan.killedAfter)} ms before${plan.isCancelled ? ', cancelled' : ''}` : 'not cut'
    printRound(index, [kind.padEnd(9), cut, `first 200 after ${round.firstAfter} ms`], round, ...kind === 'control' ? [`${round.losses.length} losses seen`] : [])
    return round
  }
  try {
    const done: FailoverRound[] = []
    for (let index = 0; index < rounds; index++) done.push(await runRound(index, kinds[index % kinds.length]!))
    const control = await runRound(rounds, 'control')
    if (control.losses.length === 0) throw new Error('the control has lost nothing, so this run cannot find losses')
    printTotal(done)
  } finally {
    environment.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
