// Whose coverage counts: that of tests which run src as it is. The others start built, packed or bundled programs, or
// load them in another way, and their line numbers are not those of src.

import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

const startsPrograms = /^(binary|crash|examples|package|package-cli|package-install|readme)\.test\.ts$/
// The adapters of node:sqlite run only where it reads whole texts, so only there they count.
const { DatabaseSync } = process.getBuiltinModule('node:sqlite') ?? {}
const hasNodeSqlite = DatabaseSync !== undefined && new DatabaseSync(':memory:').prepare('SELECT char(65, 0, 65) AS text').get().text.length === 3
const sources = readdirSync('src', { recursive: true })
  .filter((file) => file.endsWith('.ts') && (hasNodeSqlite || basename(file) !== 'node-sqlite.ts')).map((file) => join('src', file))

export default (testFile) => startsPrograms.test(basename(testFile)) ? null : sources
