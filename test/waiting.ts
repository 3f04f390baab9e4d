// For tests of updates that wait.

import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from './database.js'

/** Options by which the database is asked nothing before the update itself. */
export const known = { authenticate: () => ({ id: 'ann' }), authorize: () => true }

/** Lets the event loop go round. */
export async function turns (count: number): Promise<void> {
  for (let i = 0; i < count; i++) await pause(1)
}

/** Lets the event loop go round until something is so. */
export async function until (isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isSo()) await pause(1)
}

/** What maria is called now. */
export async function nameOf (db: Db): Promise<string | undefined> {
  return await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'")
}

/** A promise, and what resolves it. */
export function signal (): { fired: Promise<void>, fire: () => void } {
  let fire!: () => void
  const fired = new Promise<void>((resolve) => { fire = resolve })
  return { fired, fire }
}
