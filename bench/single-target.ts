// Measures one target: the turns of its event loop, its memory, and an update without HTTP.

import Database from 'better-sqlite3'
import { setTimeout as pause } from 'node:timers/promises'
import { median } from './ratios.js'
import { RunningTarget, type Context, type Target } from './run.js'
import type { Turns } from './targets/event-loop.js'

/** Measures the turns of the event loop under load. At the beginning, this process holds the write lock for `lockMs`. */
export async function measureTurns (
  context: Context, target: Target, { connections, loadMs, lockMs = 0 }: { connections: number, loadMs: number, lockMs?: number }
): Promise<Turns> {
  const running = await RunningTarget.start(context, target)
  await running.warmUp(connections)
  await running.call('watch')
  const locking = new Database(running.database)
  if (lockMs > 0) locking.exec('BEGIN IMMEDIATE')
  const loaded = running.loadFor(connections, loadMs)
  await pause(lockMs)
  locking.close() // rolls back
  await loaded
  const turns = await running.call<Turns>('turns')
  await running.stop()
  return turns
}

/** Microseconds of processor time of an update without HTTP: the median of some rounds. */
export async function measureInProcess (context: Context, target: Target, updates: number): Promise<number> {
  const running = await RunningTarget.start(context, target)
  await running.call('timeUpdates', 2 * updates)
  const rounds: number[] = []
  for (let round = 0; round < 9; round++) rounds.push(await running.call<number>('timeUpdates', updates))
  await running.call('stop')
  running.remove()
  return median(rounds)
}

/** Bytes, after a garbage collection. */
export interface Memory {
  rss: number
  heapUsed: number
}

/** Measures the memory after `few` updates, and again after `many`. */
export async function measureMemory (context: Context, target: Target, few: number, many: number): Promise<{ few: Memory, many: Memory }> {
  const running = await RunningTarget.start(context, target)
  await running.load(32, few)
  const first = await running.call<Memory>('memory')
  await running.load(32, many - few)
  const second = await running.call<Memory>('memory')
  await running.stop()
  return { few: first, many: second }
}
