// An update without HTTP: what is left of it is the rules, the queue and SQLite. The bodies are those of 10,000 contacts.

import type Database from 'better-sqlite3'
import type { FastifyRequest } from 'fastify'
import { randomBytes } from 'node:crypto'
import type { Settings } from '../src/options.js'
import type { UpdateContactBody } from '../src/rules/wire-schemas.js'
import type { UpdateContext } from '../src/rules/prepare-update.js'
import type { Dist } from './contestants/dist.js'
import { caller } from './data.js'
import { bodiesOf } from './loads.js'
import { median } from './ratios.js'

const reply = { isPending: () => true, lock: () => undefined, unlock: () => undefined }

const atOnce = 32
const warmUp = 10_000
const updates = 5000

/** Microseconds of processor time an update takes, 32 at a time: the median of nine rounds. */
export async function runInProcess (dist: Dist, database: Database.Database): Promise<number> {
  const store = dist.store.sqliteStore(database)
  const beginPatterns = dist.patterns.createPatterns()
  const body = bodiesOf('form', 10_000)
  const request = { headers: { 'x-user-id': caller.id, 'x-auth-token': caller.token } } as unknown as FastifyRequest
  let sent = 0

  const update = async (): Promise<void> => {
    const context: UpdateContext = {
      updateId: randomBytes(16).toString('hex'),
      body: JSON.parse(body(sent++)) as UpdateContactBody,
      beginPatterns: () => beginPatterns(() => undefined),
      ifMatch: undefined,
      idempotencyKey: undefined,
      recheckAccess: () => dist.auth.recheckAccess(request, {} as Settings),
      toAnswer: dist.replies.toAnswer,
      beforeCommit: undefined
    }
    await store.update(() => dist.unitOfWork.prepareUpdate(context), reply, 5000)
  }
  const run = async (count: number): Promise<void> => {
    let left = count
    await Promise.all(Array.from({ length: atOnce }, async () => { while (left-- > 0) await update() }))
  }

  await run(warmUp)
  const rounds: number[] = []
  for (let round = 0; round < 9; round++) {
    const before = process.cpuUsage()
    await run(updates)
    const { user, system } = process.cpuUsage(before)
    rounds.push((user + system) / updates)
  }
  return median(rounds)
}
