// npm run bench [-- --postgres] [-- --quick] [-- --folder DIRECTORY]
//
// Measures on SQLite, or with --postgres on PostgreSQL. Prints the ratios, and writes bench/README.md, bench/results.json and
// bench/chart.svg. With --quick everything runs once and briefly, and nothing is written.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startServer } from '../test/helpers/postgres-server.js'
import { bundle, startProcess } from './processes.js'
import { tableOf, writeReport, type Report } from './report.js'
import type { Context } from './run.js'
import { benchPostgres, benchSqlite } from './scenarios.js'

const { values: options } = parseArgs({
  options: {
    postgres: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    folder: { type: 'string', default: tmpdir() }
  }
})
const folder = mkdtempSync(join(options.folder, 'bench-'))
process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

const start = performance.now()
function printStep (step: string): void {
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(0).padStart(5)} s  ${step}\n`)
}

const context: Context = options.quick
  ? { folder, warmUp: 200, rounds: 1, roundMs: 200 }
  : { folder, warmUp: 4000, rounds: 7, roundMs: 1000 }

async function measureOnPostgres (): Promise<Report> {
  // Durable. Checkpoints are rare, so that none writes pages of one target while another is measured.
  const settings = ['fsync=on', 'synchronous_commit=on', 'full_page_writes=on', 'max_wal_size=8GB', 'checkpoint_timeout=1h']
  const { host, pid: postmaster, stop } = await startServer(settings, options.folder)
  const proxy = await startProcess('proxy', { server: host, folder, latency: 1 })
  try {
    return await benchPostgres({ ...context, postgres: { socketFolder: host, proxyFolder: folder, postmaster } }, printStep)
  } finally {
    await proxy.call('stop')
    await stop()
  }
}

printStep('this takes some minutes; leave the machine alone meanwhile')
await bundle()
const report = options.postgres ? await measureOnPostgres() : await benchSqlite(context, options.quick, printStep)
console.log(`\n${Object.entries(report.machine).map(([name, value]) => `${name}: ${value}`).join(', ')}\n\n${tableOf(report.rows)}`)
if (!options.quick) writeReport(options.postgres ? 'postgres' : 'sqlite', report)
printStep('done')
