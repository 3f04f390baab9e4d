// `npm version` runs this after it has written the new version into package.json, and before it commits. It checks that the changelog has
// the version with a date, and writes the version into src/cli/version.ts.

import { readFileSync, writeFileSync } from 'node:fs'

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const heading = new RegExp(`^## \\[${version.replaceAll('.', '\\.')}\\] - \\d{4}-\\d\\d-\\d\\d$`, 'm')
if (!heading.test(readFileSync('CHANGELOG.md', 'utf8'))) {
  console.error(`CHANGELOG.md has no heading "## [${version}] - ${new Date().toISOString().slice(0, 10)}"`)
  process.exit(1)
}
const file = 'src/cli/version.ts'
writeFileSync(file, readFileSync(file, 'utf8').replace(/(?<=version = ')[^']*/, version))
