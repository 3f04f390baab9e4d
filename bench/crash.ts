// Is what was acknowledged still there after a crash? A server under load is killed with SIGKILL at a random moment, its
// file is opened again, and every contact must hold the last update that was answered with 200, or the one that was
// under way, whole.
//
//   npm run crash -- [--rounds 50] [--seed 1]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { putUnderLoad, type Sent } from './crash-client.js'
import { connections, contactsOf, examine, fill } from './crash-file.js'

export const modes = [
  { journal: 'WAL', synchronous: 'NORMAL' },
  { journal: 'WAL', synchronous: 'FULL' },
  { journal: 'DELETE', synchronous: 'NORMAL' },
  { journal: 'DELETE', synchronous: 'FULL' }
] as const
export type Mode = typeof modes[number]

export interface Round {
  /** How many updates were answered with 200 before the crash. */
  acknowledged: number
  /** How many were sent and not answered. */
  underWay: number
  /** How many milliseconds after its first answer the server was killed. */
  killedAfter: number
  /** What was lost, torn or broken; empty when all is well. */
  losses: string[]
}

/** One server, one crash. `random` returns numbers from 0 to 1. */
export async function crash ({ journal, synchronous }: Mode, random: () => number): Promise<Round> {
  const folder = mkdtempSync(join(tmpdir(), 'contacts-crash-'))
  try {
    const file = join(folder, 'contacts.db')
    await fill(file)

    const server = fileURLToPath(new URL('crash-server.ts', import.meta.url))
    // With the loader that runs this file, be it tsx's or the test runner's.
    const child = spawn(process.execPath, [...process.execArgv, server, file, journal, synchronous], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    const { port } = JSON.parse(String((await Promise.race([once(child.stdout, 'data'), exited]))[0])) as { port: number }

    const state = new Map<string, Sent>()
    const losses: string[] = []
    const killedAfter = Math.round(150 + 500 * random())
    const load = Array.from({ length: connections }, (_, connection) => putUnderLoad(port, contactsOf(connection), state, losses))
    const acknowledgements = (): number => [...state.values()].reduce((sum, contact) => sum + contact.acknowledged, 0)
    for (let waits = 0; acknowledgements() === 0 && waits < 1000; waits++) await pause(5)
    await pause(killedAfter)
    child.kill('SIGKILL')
    await Promise.all([...load, exited])

    const acknowledged = acknowledgements()
    const underWay = [...state.values()].filter((contact) => contact.sent > contact.acknowledged).length
    if (acknowledged === 0) losses.push('nothing was acknowledged, so nothing was tried')
    losses.push(...examine(file, state))
    return { acknowledged, underWay, killedAfter, losses }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Mulberry32: small, and the same everywhere for the same seed. */
export function createRandom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function main (): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '50' }, seed: { type: 'string', default: String(Date.now() % 1e6) } }
  })
  const [rounds, seed] = [Number(values.rounds), Number(values.seed)]
  if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) throw new Error('--rounds and --seed take whole numbers')
  console.log(`${rounds} rounds, seed ${seed}`)
  const random = createRandom(seed)
  let [acknowledged, lost] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    const mode = modes[round % modes.length] as Mode
    const result = await crash(mode, random)
    acknowledged += result.acknowledged
    lost += result.losses.length
    console.log([
      String(round + 1).padStart(3), mode.journal.padEnd(6), mode.synchronous.padEnd(6), `killed after ${result.killedAfter} ms`,
      `${result.acknowledged} acknowledged`, `${result.underWay} under way`, result.losses.length === 0 ? 'all there' : `LOST ${result.losses.join('; ')}`
    ].join('  '))
  }
  console.log(`${acknowledged} updates acknowledged in ${rounds} rounds, ${lost} lost, torn or broken`)
  if (lost > 0) process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
