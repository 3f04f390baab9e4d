// The tests of what both engines must do alike: each runs on SQLite, and again on PostgreSQL where there is one.

import tap, { type Test } from 'tap'
import { isAvailable, startServer } from '../.ci/postgres.js'

export type Engine = 'sqlite' | 'postgres'

export const engines: Engine[] = isAvailable ? ['sqlite', 'postgres'] : ['sqlite']

/** The folder of the socket: of the server that runs for all tests, or else of one for this file. */
export async function postgresHost (): Promise<string> {
  return process.env.TEST_POSTGRES ?? await (started ??= start())
}

let started: Promise<string> | undefined

async function start (): Promise<string> {
  const { host, stop } = await startServer()
  tap.teardown(stop)
  return host
}

export function engineOf (t: Test): Engine {
  return (t.context as { engine?: Engine }).engine ?? 'sqlite'
}

type Run = (t: Test) => unknown

function test (engine: Engine, name: string, run: Run): void {
  tap.test(name, { skip: engine === 'postgres' && !isAvailable }, async (t) => {
    t.context = { engine }
    await run(t)
  })
}

/** As tap's own, but each test runs once an engine. */
const t = {
  test: (name: string, run: Run): void => {
    for (const engine of engines) test(engine, `${engine}: ${name}`, run)
  }
}

/** As tap's own, but on PostgreSQL, where there is one. */
export const postgres = {
  test: (name: string, run: Run): void => { test('postgres', name, run) }
}

export default t

/** For what only SQLite has. */
export { default as sqlite } from 'tap'
