// README and docs: their length, their links, and what the README says to install. package-install.test.ts runs their snippets, where the
// package is installed.

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

const others = ['CHANGELOG.md', '.github/SECURITY.md', 'examples/README.md', 'examples/single-binary/README.md', 'bench/README.md'].map(readPage)
const packed = new Set((JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { encoding: 'utf8' })) as
  [{ files: Array<{ path: string }> }])[0].files.map(({ path }) => path))

t.test('README and docs: have a bounded length', async (t) => {
  t.ok(readme.text.split('\n').length <= 161, 'the README has at most 160 lines')
  for (const line of readme.text.split('\n')) t.ok(line.length <= 120, line)
  for (const { path, text } of docs) t.ok(text.split('\n').length <= 121, `${path} has at most 120 lines`)
})

t.test('npm scripts named in the pages: exist', async (t) => {
  const named = [readme, ...docs, ...others].flatMap(({ text }) => [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, script]) => script!))
  t.ok(named.includes('demo'))
  for (const script of named) t.hasOwnProp(scripts, script)
})

/** The links of a page to others of the project, as paths from the root, and their anchors. */
function linksOf ({ path, text }: Page): Array<[target: string, anchor: string | undefined]> {
  const prose = text.replaceAll(/^ *```.*?^ *```$/gms, '').replaceAll(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)]
    .map(([, file = '', anchor]) => [file === '' ? path : normalize(join(dirname(path), file)), anchor])
}

t.test('links: their files and headings exist', async (t) => {
  for (const page of [readme, ...docs, ...others]) {
    for (const [target, anchor] of linksOf(page)) {
      t.ok(existsSync(target), `${page.path}: ${target}`)
      if (anchor !== undefined) t.ok(anchorsOf(readFileSync(target, 'utf8')).includes(anchor), `${page.path}: ${target}#${anchor}`)
    }
  }
})

t.test('files that README and docs link: are in the package', async (t) => {
  for (const page of [readme, ...docs]) {
    for (const [target] of linksOf(page)) {
      const isPacked = packed.has(target) || (statSync(target).isDirectory() && [...packed].some((path) => path.startsWith(`${target}/`)))
      t.ok(isPacked, `${page.path}: ${target}`)
    }
  }
})

t.test('source files and folders named in docs: exist', async (t) => {
  const named = docs.flatMap(({ text }) => codesOf(text)).filter((code) => /^src\/[\w./-]+$/.test(code))
  t.ok(named.length > 10)
  for (const path of named) t.ok(existsSync(path), path)
})

t.test('pages and pictures of docs: each is linked', async (t) => {
  const linked = new Set([readme, ...docs].flatMap(linksOf).map(([target]) => target))
  for (const file of readdirSync('docs', { recursive: true, encoding: 'utf8' })) {
    if (statSync(join('docs', file)).isFile()) t.ok(linked.has(join('docs', file)), file)
  }
})

t.test('Install: each row has what its database needs', async (t) => {
  const required = Object.keys(peerDependencies).filter((peer) => !(peer in peerDependenciesMeta) && peer !== 'better-sqlite3')
  const drivers: Record<string, string[]> = { 'Node.js 22': ['better-sqlite3'], 'Node.js 20': ['better-sqlite3'], 'Node.js 24': [], PostgreSQL: ['pg'] }
  const rows = readme.tableOf('Install')
  t.equal(rows.length, Object.keys(drivers).length)
  for (const [start, driver] of Object.entries(drivers)) {
    const packages = packagesFor(start).map((spec) => spec.replace(/(?<=.)@.*/, ''))
    t.strictSame(packages.sort(), [name, ...required, ...driver].sort(), start)
  }
  t.match(rows.map((row) => row['you have']!).join('\n'), engines.node.replace(/^>=/, '').replace(/\.0$/, ''))
})

t.test('docs/install.md: the same packages for each package manager and Node.js', async (t) => {
  const [older, newer] = ['Node.js 20', 'Node.js 22'].map(packagesFor)
  for (const heading of ['pnpm', 'yarn']) {
    for (const packages of installsOf(doc('install').section(heading))) {
      t.strictSame([...packages].sort(), [...packages.some((spec) => spec.includes('@', 1)) ? older! : newer!].sort(), heading)
    }
  }
})

/** `^12.0.0 || ^13.0.0` as 12 and 13. */
const versionsOf = (range: string): string[] => range.split(' || ').map((each) => each.replace(/^\^/, '').replace(/(\.0)+$/, ''))

t.test('versions of the peers: those of package.json', async (t) => {
  const inInstall = doc('install').tableOf('What you need')
  const rows = readme.tableOf('Compatibility')
  for (const [peer, range] of Object.entries(peerDependencies)) {
    const versions = versionsOf(range)
    const row = inInstall.find((row) => row.package === `\`${peer}\``)
    t.equal(row?.versions, ['fastify', 'pg'].includes(peer) ? `${versions[0]} or later` : versions.join(' or '), peer)
    t.strictSame(new Set(rows.flatMap((row) => row[peer]!.replaceAll('+', '').split(', '))), new Set(versions), peer)
  }
})
