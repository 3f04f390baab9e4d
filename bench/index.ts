// npm run bench [-- --postgres] [-- --full] [-- --json FILE] [-- --folder DIRECTORY]
//
// On SQLite, or with --postgres on PostgreSQL; --full adds more rounds, loads and sizes. What was measured is printed, and put
// into bench/README.md. Nothing is sent to anywhere but 127.0.0.1.

import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { removeBundles } from './processes.js'
import { say } from './say.js'
import { writeReport } from './write-report.js'

const { values: options } = parseArgs({
  options: {
    postgres: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    json: { type: 'string' },
    folder: { type: 'string', default: tmpdir() }
  }
})
process.on('exit', removeBundles)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

const { bench, minutes } = options.postgres ? await import('./postgres.js') : await import('./sqlite.js')
say(`this takes about ${minutes[options.full ? 'full' : 'short']} minutes on two cores; leave the machine alone meanwhile`)
const { report, tables, picture } = await bench(options)
const machine = Object.entries(report.machine).map(([name, value]) => `- ${name}: ${value}`).join('\n')
const text = [machine, ...tables].join('\n\n')
console.log(`\n${text}`)
writeReport(options.postgres ? 'postgres' : 'sqlite', text, picture)
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
say('done')
