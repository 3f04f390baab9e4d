// npm runs this in a clone, after `npm ci` and `npm install`. The lock file has versions for today's Node.js: those that
// crash on Node.js 20, or do not start there, give way to the last ones that work.

import { execSync } from 'node:child_process'

const packages = ['better-sqlite3@12.11.1', 'kysely@0.28.19']

if (parseInt(process.versions.node) < 22) {
  execSync(`npm install --no-save --no-audit --no-fund ${packages.join(' ')}`, { stdio: 'inherit' })
}
