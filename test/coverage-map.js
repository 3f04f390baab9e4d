// Only the coverage of tests that run src counts. The others start built, packed or bundled programs, whose line numbers are not those
// of src.

import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { hasNodeSqlite } from '../scripts/has-node-sqlite.js'

const startsPrograms = /^(binary|crash|examples|package|package-cli|package-install)\.test\.ts$/
// The adapters of node:sqlite run only where it reads whole texts, so only there they count.
const countsNodeSqlite = hasNodeSqlite()
const sources = readdirSync('src', { recursive: true })
  .filter((file) => file.endsWith('.ts') && (countsNodeSqlite || !file.endsWith('node-sqlite.ts'))).map((file) => join('src', file))

export default (testFile) => startsPrograms.test(basename(testFile)) ? null : sources
