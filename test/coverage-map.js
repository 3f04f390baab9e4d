// Tells tap which files a test should cover. Tests of built, packed or bundled programs cover none, because their line numbers are not those of src.

import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { hasNodeSqlite } from '../scripts/has-node-sqlite.js'

const startsPrograms = /^(binary|crash|examples|package|package-cli|package-install)\.test\.ts$/
// On a Node.js whose node:sqlite the plugin refuses, its adapters do not run.
const countsNodeSqlite = hasNodeSqlite()
const sources = readdirSync('src', { recursive: true })
  .filter((file) => file.endsWith('.ts') && (countsNodeSqlite || !file.endsWith('node-sqlite.ts'))).map((file) => join('src', file))

export default (testFile) => startsPrograms.test(basename(testFile)) ? null : sources
