// What CONTRIBUTING and the workflows name must exist: files, npm scripts, and a reason for each dependency.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import t from 'tap'

const page = readFileSync('.github/CONTRIBUTING.md', 'utf8')
const workflows = readdirSync('.github/workflows').map((name) => readFileSync(join('.github/workflows', name), 'utf8'))
const { scripts, dependencies, peerDependencies, devDependencies, overrides = {} } =
  JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, unknown>>

/** The first group of each match. */
const matchesOf = (pattern: RegExp, text = page): string[] => [...text.matchAll(pattern)].map(([, found]) => found!)

t.test('files named in CONTRIBUTING: exist', async (t) => {
  const linked = matchesOf(/\]\((?!https?:)([^)#]+)\)/g).map((link) => normalize(join('.github', link)))
  const named = matchesOf(/`((?:src|test|scripts|\.ci)\/[\w./-]+)`/g)
  t.ok(linked.length > 10 && named.length > 10)
  for (const path of [...linked, ...named]) t.ok(existsSync(path), path)
})

t.test('scripts and test files named in CONTRIBUTING and the workflows: exist', async (t) => {
  const named = [page, ...workflows].flatMap((text) => matchesOf(/npm run ([\w:-]+)/g, text))
  t.ok(named.includes('test:matrix') && named.includes('bench'))
  for (const name of named) t.hasOwnProp(scripts!, name)
  for (const file of matchesOf(/npx tap [^`]*?(test\/\S+\.ts)/g)) t.ok(existsSync(file), file)
  for (const file of workflows.flatMap((text) => matchesOf(/run: (\.\S+)/g, text))) t.ok(existsSync(file), file)
})

t.test('dependencies and overrides: each has its reason in CONTRIBUTING', async (t) => {
  const reasons = page.slice(page.indexOf('## Dependencies'))
  for (const name of Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies, ...overrides })) {
    t.ok(reasons.includes(`\`${name}\``), name)
  }
})
