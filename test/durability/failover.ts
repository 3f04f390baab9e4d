// Is what was acknowledged still there after a failover? Two app nodes serve one address, behind which a primary with a
// synchronous replica is killed with SIGKILL under load, half of the time after it has lost that replica. Either the replica
// is promoted and the address moves, or the primary comes back. Every update that was answered with 200 must be there, whole
// and once. The control shows that losses are seen: its replica is asynchronous, and it must have some.
//
//   npm run failover -- [--rounds 20] [--seed 1]

import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createRandom } from './crash.js'
import type { Damage } from './crash-file.js'
import type { Address } from './failover-address.js'
import { clients, startLoad } from './failover-client.js'
import { examine } from './failover-ledger.js'
import { startPair, type Pair } from './failover-pair.js'
import { kinds, plan, type Kind, type Plan } from './failover-plan.js'
import { openStage, type Stage } from './failover-stage.js'

export interface Round extends Damage {
  /** How many updates were answered with 200. */
  acknowledged: number
  /** How many of them were sent more than once. */
  repeated: number
  /** How many of these had been done all the same. */
  foundDone: number
  /** How many milliseconds after there was a primary again the first 200 came. */
  firstAfter: number
}

export async function failover ({ template, address, ports, ended }: Stage, plan: Plan): Promise<Round> {
  const pair = await startPair(template, plan.kind !== 'control')
  address.leadTo(pair.primary)
  const load = startLoad(ports)
  try {
    await load.more(1)
    await pause(plan.cutAfter)
    if (plan.isCut) pair.link.leadTo(undefined)
    await pause(plan.killedAfter / 2)
    if (plan.isCancelled) await pair.cancelWaits()
    await pause(plan.killedAfter / 2)
    // More than were under way when the link was cut, however slow the machine is.
    if (plan.kind === 'control') await load.more(2 * clients)
    await pair.kill()
    const recoveredAt = await recover(pair, address, plan)
    await pause(plan.endsAfter)
    await load.finish()

    const acknowledged = load.sent.filter(({ etag }) => etag !== undefined)
    const first = Math.min(...acknowledged.map(({ acknowledgedAt = 0 }) => acknowledgedAt).filter((time) => time >= recoveredAt))
    const damage = await examine(plan.kind === 'restart' ? pair.primary : pair.replica, load.sent)
    return {
      acknowledged: acknowledged.length,
      repeated: acknowledged.filter(({ times }) => times > 1).length,
      foundDone: acknowledged.filter(({ isReplay }) => isReplay).length,
      firstAfter: first - recoveredAt,
      losses: [...load.surprises, ...ended().map((port) => `the node at ${port} has ended`), ...damage.losses],
      doubles: damage.doubles
    }
  } finally {
    load.abandon()
    address.leadTo(undefined)
    await pair.remove()
  }
}

/** Returns when there was a primary again, by `performance.now()`. */
async function recover (pair: Pair, address: Address, { kind, relapsedAfter, movesFirst }: Plan): Promise<number> {
  if (kind === 'restart') {
    pair.link.leadTo(pair.primary)
    return await pair.restart()
  }
  if (kind === 'relapse') {
    await pair.restart()
    await pause(relapsedAfter)
    await pair.kill()
  }
  if (movesFirst) address.leadTo(pair.replica)
  const promotedAt = await pair.promote()
  if (!movesFirst) address.leadTo(pair.replica)
  return promotedAt
}

async function main (): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, seed: { type: 'string', default: String(Date.now() % 1e6) } }
  })
  const [rounds, seed] = [Number(values.rounds), Number(values.seed)]
  if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) throw new Error('--rounds and --seed take whole numbers')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  console.log(`${rounds} rounds and a control, seed ${seed}`)
  const random = createRandom(seed)
  const total = { acknowledged: 0, repeated: 0, foundDone: 0, lost: 0, double: 0 }
  const firsts: number[] = []
  const stage = await openStage()
  try {
    for (let round = 0; round <= rounds; round++) {
      const kind = round === rounds ? 'control' : kinds[round % kinds.length] as Kind
      const planned = plan(kind, round % 2 === 1, random)
      const { acknowledged, repeated, foundDone, firstAfter, losses, doubles } = await failover(stage, planned)
      const damage = [...losses.map((loss) => `LOST ${loss}`), ...doubles.map((double) => `DOUBLE ${double}`)]
      console.log([
        String(round + 1).padStart(3), kind.padEnd(9), planned.isCut ? `cut ${Math.round(planned.killedAfter)} ms before${planned.isCancelled ? ', cancelled' : ''}` : 'not cut', `${acknowledged} acknowledged`,
        `${repeated} repeated, ${foundDone} found done`, `first 200 after ${Math.round(firstAfter)} ms`,
        kind === 'control' ? `${losses.length} losses seen` : damage.length === 0 ? 'all there, once' : damage.join('; ')
      ].join('  '))
      if (kind === 'control') {
        if (losses.length === 0) throw new Error('the control has lost nothing, so nothing is known')
        break
      }
      total.acknowledged += acknowledged
      total.repeated += repeated
      total.foundDone += foundDone
      total.lost += losses.length
      total.double += doubles.length
      if (kind !== 'restart') firsts.push(firstAfter)
    }
  } finally {
    stage.close()
  }
  firsts.sort((a, b) => a - b)
  console.log(`${total.acknowledged} updates acknowledged in ${rounds} rounds, ${total.repeated} repeated, ${total.foundDone} of them found done, ` +
    `${total.lost} lost, torn or broken, ${total.double} double; first 200 after a promotion: ` +
    `${Math.round(firsts[firsts.length >> 1] ?? 0)} ms, at worst ${Math.round(firsts.at(-1) ?? 0)} ms`)
  if (total.lost + total.double > 0) process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
