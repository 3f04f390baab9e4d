// Runs a test once on every engine that this machine has.

import tap, { type Test } from 'tap'
import type { Opened } from './database.js'
import { handleKind, openHandle } from './handle.js'
import { DatabaseSync, skip } from './node-sqlite.js'
import { isAvailable } from './postgres-server.js'
import { openSchema, type PoolSettings } from './postgres.js'
import { openSqlite } from './sqlite.js'

/** How each engine opens an empty database. */
const openers = {
  sqlite: async (): Promise<Opened> => openSqlite(openHandle(':memory:')),
  'node-sqlite': async (): Promise<Opened> => openSqlite(new DatabaseSync(':memory:')),
  postgres: async (pool?: PoolSettings): Promise<Opened> => await openSchema(pool)
}

export type Engine = keyof typeof openers

const missing: Partial<Record<Engine, boolean>> = {
  sqlite: handleKind === 'node:sqlite',
  'node-sqlite': skip !== false || handleKind === 'better-sqlite3',
  postgres: !isAvailable
}

export const engines = (Object.keys(openers) as Engine[]).filter((engine) => missing[engine] !== true)

export function engineOf (t: Test): Engine {
  return (t.context as { engine?: Engine }).engine ?? 'sqlite'
}

/** The SQL dialect of the engine. */
export function dialectOf (t: Test): 'sqlite' | 'postgres' {
  return engineOf(t) === 'postgres' ? 'postgres' : 'sqlite'
}

/** An empty database of the engine that the test runs on. */
export async function openDatabase (t: Test, pool?: PoolSettings): Promise<Opened> {
  return await openers[engineOf(t)](pool)
}

type Run = (t: Test) => unknown

function test (engine: Engine, name: string, run: Run): void {
  tap.test(name, { skip: engine === 'postgres' && !isAvailable }, async (t) => {
    t.context = { engine }
    await run(t)
  })
}

/** Like tap's own, but each test runs once for each engine. */
const t = {
  test: (name: string, run: Run): void => {
    for (const engine of engines) test(engine, `${engine}: ${name}`, run)
  }
}

/** Like tap's own, but the tests run on PostgreSQL, if there is one. */
export const postgres = {
  test: (name: string, run: Run): void => { test('postgres', name, run) }
}

export default t

/** For tests that run on SQLite only. */
export { default as sqlite } from 'tap'
