// Whose coverage counts: that of tests which run src as it is. The others start built, packed or bundled programs, or
// load them in another way, and their line numbers are not those of src.

import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

const startsPrograms = /^(binary|crash|examples|package|package-cli|package-install|readme)\.test\.ts$/
const sources = readdirSync('src', { recursive: true }).filter((file) => file.endsWith('.ts')).map((file) => join('src', file))

export default (testFile) => startsPrograms.test(basename(testFile)) ? null : sources
