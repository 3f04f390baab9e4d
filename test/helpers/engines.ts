// Runs a test once on every engine that this machine has.

import tap, { type Test } from 'tap'
import type { Opened } from './database.js'
import { handleKind, openHandle } from './open-handle.js'
import { DatabaseSync, skip as lacksNodeSqlite } from './node-sqlite.js'
import { isAvailable as hasPostgres } from './postgres-server.js'
import { openSchema, type PoolSettings } from './postgres.js'
import { openSqlite } from './sqlite.js'

/** How each engine opens an empty database. */
const openers = {
  sqlite: async (): Promise<Opened> => openSqlite(openHandle(':memory:')),
  'node-sqlite': async (): Promise<Opened> => openSqlite(new DatabaseSync(':memory:')),
  postgres: async (pool?: PoolSettings): Promise<Opened> => await openSchema(pool)
}

export type Engine = keyof typeof openers

const isTested: Record<Engine, boolean> = {
  sqlite: handleKind !== 'node:sqlite',
  'node-sqlite': lacksNodeSqlite === false && handleKind !== 'better-sqlite3',
  postgres: hasPostgres
}

export const engines = (Object.keys(openers) as Engine[]).filter((engine) => isTested[engine])

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

function testOn (engine: Engine, name: string, run: Run): void {
  tap.test(name, { skip: !isTested[engine] && engine === 'postgres' }, async (t) => {
    t.context = { engine }
    await run(t)
  })
}

/** Like tap's own, but each test runs once for each engine, or for those that are given. */
const t = {
  test: (name: string, run: Run, on = engines): void => {
    for (const engine of on) if (isTested[engine]) testOn(engine, `${engine}: ${name}`, run)
  }
}

/** Like tap's own, but the tests run on PostgreSQL, if there is one. */
export const postgres = {
  test: (name: string, run: Run): void => { testOn('postgres', name, run) }
}

export default t

/** tap itself, for tests that run on SQLite only. */
export { default as sqlite } from 'tap'
