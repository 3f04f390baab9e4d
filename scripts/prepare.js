// npm runs this in a clone, after each `npm ci` and `npm install`.

import { execSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

const nodeFolder = dirname(dirname(process.execPath))
// If better-sqlite3 must be compiled, the headers that came with Node.js save a download.
const headers = existsSync(join(nodeFolder, 'include/node/node.h')) ? { npm_config_nodedir: nodeFolder } : {}
const run = (command) => execSync(command, { stdio: 'inherit', env: { ...headers, ...process.env, IS_PREPARING: '1' } })

// The install below runs this file again. Then there is nothing to do.
if (process.env.IS_PREPARING === undefined) {
  // The lock file is for Node.js 22 and later. On Node.js 20, better-sqlite3 13 crashes and kysely 0.29 does not start.
  if (parseInt(process.versions.node) < 22) run('npm install --no-save --no-audit --no-fund better-sqlite3@12.11.1 kysely@0.28.19')
  // Builds tap with the plugins that package.json names. Otherwise the first run of tap would load TypeScript with ts-node.
  run('tap build')
}
