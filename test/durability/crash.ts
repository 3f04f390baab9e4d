// Is every acknowledged update still there after a crash? A round has these steps:
//
// 1. A server under load is killed with SIGKILL at a random moment.
// 2. Its file is opened again and examined.
// 3. The clients repeat each update that was not answered, with the same key, to a second server.
// 4. The second server is killed as soon as it has answered them, and the file is examined again.
//
// In half of the modes with a WAL, the worker thread of `serve` makes the checkpoints. It needs `npm run build`.
//
//   npm run crash -- [--rounds 50] [--seed 1]

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { examine, fill, openSqlite, type Damage, type Store } from './ledger.js'
import { startLoad, type SentUpdate } from './load.js'
import { startNode } from './nodes.js'
import { createRandom, printRound, printTotal, readArguments, type Round } from './rounds.js'

export const modes = [
  { journal: 'WAL', synchronous: 'NORMAL', checkpoints: 'SQLite' },
  { journal: 'WAL', synchronous: 'FULL', checkpoints: 'SQLite' },
  { journal: 'WAL', synchronous: 'NORMAL', checkpoints: 'worker' },
  { journal: 'WAL', synchronous: 'FULL', checkpoints: 'worker' },
  { journal: 'DELETE', synchronous: 'NORMAL', checkpoints: 'SQLite' },
  { journal: 'DELETE', synchronous: 'FULL', checkpoints: 'SQLite' }
] as const
export type Mode = typeof modes[number]

export async function crash (mode: Mode, killAfterMs: number): Promise<Round> {
  const folder = mkdtempSync(join(tmpdir(), 'contacts-crash-'))
  const file = join(folder, 'contacts.db')
  const ports: number[] = []
  // A client waits for its answer until the server is gone.
  const load = startLoad(ports, { timeoutMs: () => 60_000, retriedStatuses: [] })
  try {
    await withFile(file, fill)
    const server = await startNode({ file, ...mode })
    ports.push(server.port)
    await load.waitFor(1)
    await pause(killAfterMs)
    const endedEarly = server.hasEnded()
    const killed = server.kill()
    ports.length = 0
    await killed
    await load.whenQuiet()
    const acknowledged = load.updates.filter(({ etag }) => etag !== undefined).length
    const unanswered = load.updates.filter(({ etag }) => etag === undefined)
    const firstDamage = await withFile(file, async (store) => await examineFile(store, load.updates))
    const answersBefore = await withFile(file, readAnswers)

    const finished = load.finish()
    const secondServer = await startNode({ file, ...mode })
    ports.push(secondServer.port)
    await finished
    await secondServer.kill()
    const answersAfter = await withFile(file, readAnswers)
    const lastDamage = await withFile(file, async (store) => await examineFile(store, load.updates))
    return {
      acknowledged,
      repeated: unanswered.length,
      foundDone: unanswered.filter(({ key }) => answersBefore.has(key)).length,
      // Both examinations may have found the same.
      losses: [...new Set([
        ...acknowledged === 0 ? ['nothing was acknowledged, so nothing was tested'] : [],
        ...endedEarly ? ['the server has ended by itself'] : [],
        ...load.surprises, ...firstDamage.losses, ...compareAnswers(unanswered, answersBefore, answersAfter), ...lastDamage.losses
      ])],
      doubles: [...new Set([...firstDamage.doubles, ...lastDamage.doubles])]
    }
  } finally {
    load.abandon()
    rmSync(folder, { recursive: true })
  }
}

async function withFile<Result> (file: string, use: (store: Store) => Promise<Result>): Promise<Result> {
  const store = openSqlite(file)
  return await use(store).finally(store.close)
}

async function examineFile (store: Store, updates: readonly SentUpdate[]): Promise<Damage> {
  const { losses, doubles } = await examine(store, updates)
  const [integrity] = await store.query('PRAGMA integrity_check')
  return { losses: integrity?.integrity_check === 'ok' ? losses : [...losses, JSON.stringify(integrity)], doubles }
}

type Answers = Map<string, { etag: string, body: string }>

/** The stored answers by their keys. */
async function readAnswers ({ query }: Store): Promise<Answers> {
  const rows = await query('SELECT key, version, answer FROM omnichannel_idempotency_key')
  return new Map(rows.map(({ key, version, answer }) => [String(key), { etag: `"${String(version)}"`, body: String(answer) }]))
}

/** A repeated update must get the stored answer: the one from before the repetition, if it had been committed. */
function compareAnswers (repeated: readonly SentUpdate[], before: Answers, after: Answers): string[] {
  return repeated.flatMap(({ key, etag, isReplay, body }) => {
    const answer = JSON.stringify({ isReplay, etag, body })
    const expected = JSON.stringify({ isReplay: before.has(key), ...before.get(key) ?? after.get(key) })
    return answer === expected ? [] : [`${key} was answered with ${answer} instead of ${expected}`]
  })
}

/** Milliseconds from the first acknowledged update. */
export function randomKillTime (random: () => number): number {
  return Math.round(150 + 500 * random())
}

async function main (): Promise<void> {
  const { rounds, seed } = readArguments(50)
  console.log(`${rounds} rounds, seed ${seed}`)
  const random = createRandom(seed)
  const results: Round[] = []
  for (let index = 0; index < rounds; index++) {
    const mode = modes[index % modes.length]!
    const killAfterMs = randomKillTime(random)
    const round = await crash(mode, killAfterMs)
    results.push(round)
    printRound(index, [mode.journal.padEnd(6), mode.synchronous.padEnd(6), mode.checkpoints, `killed after ${killAfterMs} ms`], round)
  }
  printTotal(results)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
