// Measures an update without HTTP: only the rules, the queue and SQLite.

import type Database from 'better-sqlite3'
import type { FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import { createAccess } from '../../src/http/auth.js'
import type { Settings } from '../../src/options.js'
import { createPatternCache } from '../../src/rules/patterns/index.js'
import { prepareUpdate, type UpdateContext } from '../../src/rules/prepare-update.js'
import { openStore } from '../../src/store/open-store.js'
import type { ReplyGuard } from '../../src/store/store.js'
import { caller, createRequestMaker } from '../requests.js'

const CONCURRENT_UPDATES = 32
/** There is no reply, so there is nothing to guard. */
const guard: ReplyGuard = { isPending: () => true, lock: () => undefined, unlock: () => undefined }

/** Returns a function that makes updates, and resolves to the mean processor time of an update, in microseconds. */
export function createUpdateTimer (database: Database.Database, contacts: number): (updates: number) => Promise<number> {
  const ignoreProblem = (): void => undefined
  const store = openStore(database, ignoreProblem)
  const { createMatcher } = createPatternCache()
  const makeRequest = createRequestMaker(contacts)
  const access = createAccess(store, { lockTimeout: 5000 } as Settings)
  const headers = { 'x-user-id': caller.id, 'x-auth-token': caller.token }
  let sent = 0

  const update = async (): Promise<void> => {
    const request = { headers } as unknown as FastifyRequest
    await access.check(request)
    const context: UpdateContext = {
      updateId: randomUUID().replaceAll('-', ''),
      body: JSON.parse(makeRequest(sent++).body),
      createMatcher: () => createMatcher(ignoreProblem),
      ifMatch: undefined,
      idempotencyKey: undefined,
      access: access.recheck(request),
      beforeCommit: undefined
    }
    await store.update(() => prepareUpdate(context), guard, 5000)
  }

  return async (updates) => {
    const before = process.cpuUsage()
    let left = updates
    await Promise.all(Array.from({ length: CONCURRENT_UPDATES }, async () => { while (left-- > 0) await update() }))
    const { user, system } = process.cpuUsage(before)
    return (user + system) / updates
  }
}
