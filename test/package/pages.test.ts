// README and docs: their length, their links, and the packages and versions that they name. package-install.test.ts runs their code blocks,
// because these need an installed package.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { anchorsOf, codesOf, doc, docs, installsOf, packagesFor, readme, readPage, type Page } from './pages.js'

const { name, scripts, engines, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  name: string
  scripts: object
  engines: { node: string }
  peerDependencies: Record<string, string>
  peerDependenciesMeta: object
}

const otherPages = ['CHANGELOG.md', '.github/SECURITY.md', 'examples/README.md', 'examples/single-binary/README.md', 'bench/README.md'].map(readPage)
const [pack] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { encoding: 'utf8' })) as
  [{ files: Array<{ path: string }> }]
const packedFiles = new Set(pack.files.map(({ path }) => path))

t.test('the README: has at most 160 lines of at most 120 characters', async (t) => {
  const lines = linesOf(readme)
  t.ok(lines.length <= 160, `${lines.length} lines`)
  for (const line of lines) t.ok(line.length <= 120, line)
})

t.test('each page of docs: has at most 120 lines', async (t) => {
  for (const page of docs) t.ok(linesOf(page).length <= 120, page.path)
})

function linesOf ({ text }: Page): string[] {
  return text.trimEnd().split('\n')
}

t.test('npm scripts named in the pages: exist', async (t) => {
  const named = [readme, ...docs, ...otherPages].flatMap(({ text }) => [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, script]) => script!))
  t.ok(named.includes('demo'))
  for (const script of named) t.hasOwnProp(scripts, script)
})

/** The links of a page to files of the repository, as paths from its root, with the anchor behind #. */
function linksOf ({ path, text }: Page): Array<[target: string, anchor: string | undefined]> {
  const withoutCode = text.replaceAll(/^ *```.*?^ *```$/gms, '').replaceAll(/`[^`\n]*`/g, '')
  return [...withoutCode.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)]
    .map(([, file = '', anchor]) => [file === '' ? path : normalize(join(dirname(path), file)), anchor])
}

t.test('links: their files and headings exist', async (t) => {
  for (const page of [readme, ...docs, ...otherPages]) {
    for (const [target, anchor] of linksOf(page)) {
      t.ok(existsSync(target), `${page.path}: ${target}`)
      if (anchor !== undefined) t.ok(anchorsOf(readFileSync(target, 'utf8')).includes(anchor), `${page.path}: ${target}#${anchor}`)
    }
  }
})

t.test('files to which README and docs link: are in the package', async (t) => {
  for (const page of [readme, ...docs]) {
    for (const [target] of linksOf(page)) {
      const isPackedFolder = statSync(target).isDirectory() && [...packedFiles].some((path) => path.startsWith(`${target}/`))
      t.ok(packedFiles.has(target) || isPackedFolder, `${page.path}: ${target}`)
    }
  }
})

t.test('source files and folders named in docs: exist', async (t) => {
  const named = docs.flatMap(({ text }) => codesOf(text)).filter((code) => /^src\/[\w./-]+$/.test(code))
  t.ok(named.length > 10)
  for (const path of named) t.ok(existsSync(path), path)
})

t.test('pages and pictures in docs: README or docs link to each', async (t) => {
  const linked = new Set([readme, ...docs].flatMap(linksOf).map(([target]) => target))
  for (const file of readdirSync('docs', { recursive: true, encoding: 'utf8' })) {
    if (statSync(join('docs', file)).isFile()) t.ok(linked.has(join('docs', file)), file)
  }
})

t.test('the table Install of the README: each row has the packages that its database needs', async (t) => {
  const required = Object.keys(peerDependencies).filter((peer) => !(peer in peerDependenciesMeta) && peer !== 'better-sqlite3')
  const driversByRow: Record<string, string[]> = {
    'Node.js 22': ['better-sqlite3'], 'Node.js 20': ['better-sqlite3'], 'Node.js 24': [], PostgreSQL: ['pg']
  }
  const rows = readme.tableOf('Install')
  t.equal(rows.length, Object.keys(driversByRow).length)
  for (const [row, drivers] of Object.entries(driversByRow)) {
    const packages = packagesFor(row).map((spec) => spec.replace(/(?<=.)@.*/, ''))
    t.strictSame(packages.sort(), [name, ...required, ...drivers].sort(), row)
  }
  const lowestNode = engines.node.replace(/^>=/, '').replace(/\.0$/, '')
  t.match(rows.map((row) => row['you have']!).join('\n'), lowestNode)
})

t.test('docs/install.md: the commands for pnpm and yarn install the packages of the README', async (t) => {
  for (const heading of ['pnpm', 'yarn']) {
    for (const packages of installsOf(doc('install').section(heading))) {
      // Only the command for Node.js 20 names versions, such as kysely@0.28.
      const namesVersions = packages.some((spec) => spec.includes('@', 1))
      t.strictSame(packages.sort(), packagesFor(namesVersions ? 'Node.js 20' : 'Node.js 22').sort(), heading)
    }
  }
})

/** The versions in a range, such as 12 and 13 in `^12.0.0 || ^13.0.0`. */
function versionsIn (range: string): string[] {
  return range.split(' || ').map((part) => part.replace(/^\^/, '').replace(/(\.0)+$/, ''))
}

t.test('versions of the peers in README and docs/install.md: those of package.json', async (t) => {
  const rowsOfInstall = doc('install').tableOf('What you need')
  const rowsOfReadme = readme.tableOf('Compatibility')
  for (const [peer, range] of Object.entries(peerDependencies)) {
    const versions = versionsIn(range)
    const row = rowsOfInstall.find((row) => row.package === `\`${peer}\``)
    t.equal(row?.versions, ['fastify', 'pg'].includes(peer) ? `${versions[0]} or later` : versions.join(' or '), peer)
    t.strictSame(new Set(rowsOfReadme.flatMap((row) => row[peer]!.replaceAll('+', '').split(', '))), new Set(versions), peer)
  }
})
