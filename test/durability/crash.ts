// Is what was acknowledged still there after a crash? A server under load is killed with SIGKILL at a random moment, its
// file is opened again, and every contact must hold the last update that was answered with 200, or the one that was
// under way, whole. Then the client sends again what was not answered, with the same keys, to a server that is killed
// as soon as it has answered: every update must be there, and once.
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
import { putUnderLoad, repeat, type Answer, type Sent } from './crash-client.js'
import { connections, contactsOf, examine, fill, readAnswers, type Damage } from './crash-file.js'

export const modes = [
  { journal: 'WAL', synchronous: 'NORMAL' },
  { journal: 'WAL', synchronous: 'FULL' },
  { journal: 'DELETE', synchronous: 'NORMAL' },
  { journal: 'DELETE', synchronous: 'FULL' }
] as const
export type Mode = typeof modes[number]

export interface Round extends Damage {
  /** How many updates were answered with 200 before the crash. */
  acknowledged: number
  /** How many were sent and not answered, and so were sent again afterwards. */
  repeated: number
  /** How many of these had been committed all the same. */
  foundDone: number
  /** How many milliseconds after its first answer the server was killed. */
  killedAfter: number
}

/**
 * A server under load that is killed, and a second one that is asked again for what the first did not answer.
 * `random` returns numbers from 0 to 1.
 */
export async function crash (mode: Mode, random: () => number): Promise<Round> {
  const folder = mkdtempSync(join(tmpdir(), 'contacts-crash-'))
  try {
    const file = join(folder, 'contacts.db')
    await fill(file)

    const state = new Map<string, Sent>()
    const [losses, doubles]: [string[], string[]] = [[], []]
    const look = (): void => {
      const damage = examine(file, state)
      losses.push(...damage.losses)
      doubles.push(...damage.doubles)
    }

    const killedAfter = Math.round(150 + 500 * random())
    const server = await start(file, mode)
    const load = Array.from({ length: connections }, (_, connection) => putUnderLoad(server.port, contactsOf(connection), state, losses))
    const acknowledgements = (): number => [...state.values()].reduce((sum, contact) => sum + contact.acknowledged, 0)
    for (let waits = 0; acknowledgements() === 0 && waits < 1000; waits++) await pause(5)
    await pause(killedAfter)
    await Promise.all([...load, server.kill()])
    const acknowledged = acknowledgements()
    if (acknowledged === 0) losses.push('nothing was acknowledged, so nothing was tried')
    look()

    const unanswered = [...state].filter(([, contact]) => contact.sent > contact.acknowledged)
    const before = readAnswers(file, new Map(unanswered))
    const next = await start(file, mode)
    const answers = await Promise.all(unanswered.map(async ([id, contact]) => [id, await repeat(next.port, id, contact)] as const))
    await next.kill()
    const after = readAnswers(file, state)
    for (const [id, answer] of answers) {
      const expected = { status: 200, etag: undefined, replayed: before.has(id) ? 'true' : undefined, ...before.get(id) ?? after.get(id) }
      const differs = Object.entries(expected).filter(([part, value]) => answer[part as keyof Answer] !== value)
      losses.push(...differs.map(([part, value]) => `${id}: repeated, and the ${part} was ${answer[part as keyof Answer]} instead of ${value}`))
    }
    look()
    // Both looks may have seen the same.
    const [lost, double] = [[...new Set(losses)], [...new Set(doubles)]]
    return { acknowledged, repeated: unanswered.length, foundDone: before.size, killedAfter, losses: lost, doubles: double }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface Server {
  port: number
  kill: () => Promise<unknown>
}

async function start (file: string, { journal, synchronous }: Mode): Promise<Server> {
  const program = fileURLToPath(new URL('crash-server.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, file, journal, synchronous], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const { port } = JSON.parse(String((await Promise.race([once(child.stdout, 'data'), exited]))[0])) as { port: number }
  return {
    port,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    }
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
  const total = { acknowledged: 0, repeated: 0, foundDone: 0, lost: 0, double: 0 }
  for (let round = 0; round < rounds; round++) {
    const mode = modes[round % modes.length] as Mode
    const { acknowledged, repeated, foundDone, killedAfter, losses, doubles } = await crash(mode, random)
    total.acknowledged += acknowledged
    total.repeated += repeated
    total.foundDone += foundDone
    total.lost += losses.length
    total.double += doubles.length
    const damage = [...losses.map((loss) => `LOST ${loss}`), ...doubles.map((double) => `DOUBLE ${double}`)]
    console.log([
      String(round + 1).padStart(3), mode.journal.padEnd(6), mode.synchronous.padEnd(6), `killed after ${killedAfter} ms`,
      `${acknowledged} acknowledged`, `${repeated} repeated, ${foundDone} found done`,
      damage.length === 0 ? 'all there, once' : damage.join('; ')
    ].join('  '))
  }
  console.log(`${total.acknowledged} updates acknowledged in ${rounds} rounds, ${total.repeated} repeated, ${total.foundDone} of them found done, ` +
    `${total.lost} lost, torn or broken, ${total.double} double`)
  if (total.lost + total.double > 0) process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
