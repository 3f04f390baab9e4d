// The tarball that npm publishes: its files, and the packages that its code and its types import.

import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import t from 'tap'
import '../helpers/children-without-tap.js'

const run = promisify(execFile)

interface Packed {
  filename: string
  size: number
  files: Array<{ path: string }>
}

/** Packs the dist that npm test has built. Another build would remove dist while other tests use it. */
async function pack (): Promise<Packed & { tarball: string, paths: string[] }> {
  const folder = t.testdir()
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder])
  const [packed] = JSON.parse(stdout) as [Packed]
  return { ...packed, tarball: join(folder, packed.filename), paths: packed.files.map(({ path }) => path) }
}

const packed = pack()

t.test('the tarball: has what a user needs, and nothing else', async (t) => {
  const { size, paths } = await packed
  const singleFiles = [
    'CHANGELOG.md', 'LICENSE', 'README.md', '.github/CONTRIBUTING.md', '.github/SECURITY.md', 'bench/README.md', 'bench/chart.svg', 'bench/results.json',
    'openapi.json', 'package.json', 'schema.postgres.sql', 'schema.sql'
  ]
  const docsAndExamples = ['docs', 'examples'].flatMap(filesIn).filter((path) => !path.endsWith('.test.ts'))
  const migrations = filesIn('src/store/migrations').filter((path) => path.endsWith('.sql'))
  t.strictSame(paths.filter((path) => !path.startsWith('dist/')).sort(), [...singleFiles, ...docsAndExamples, ...migrations].sort())
  t.ok(size < 900_000, `${size} bytes`)
})

t.test('dist in the tarball: code and types of the plugin, and the bundled command line', async (t) => {
  const { paths } = await packed
  const ofPlugin = paths.filter((path) => path.startsWith('dist/') && !path.startsWith('dist/cli/'))
  t.strictSame(ofPlugin.filter((path) => !/\.(js|d\.ts)$/.test(path)), [], 'code and types only')
  for (const path of ofPlugin) t.ok(existsSync(path.replace(/^dist/, 'src').replace(/\.(d\.ts|js)$/, '.ts')), `${path} has a source`)
  // The command line has the files of its documentation page, and the licences of the bundled packages.
  const ofCommandLine = paths.filter((path) => path.startsWith('dist/cli/'))
  t.ok(ofCommandLine.includes('dist/cli/LICENSES.txt'))
  t.strictSame(ofCommandLine.filter((path) => !/^dist\/cli\/((serve\/)?[\w-]+\.js|LICENSES\.txt|documentation\/.*\.gz)$/.test(path)), [])
})

t.test('files that exports and bin of package.json name: are in the tarball', async (t) => {
  const { paths } = await packed
  const { exports, bin } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<'exports' | 'bin', unknown>
  const targets = targetsIn([exports, bin])
  t.ok(targets.length > 5)
  for (const target of targets) t.ok(paths.includes(posix.normalize(target)), target)
})

/** All files in a folder and its folders. */
function filesIn (folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => posix.join(folder, name))
  return paths.filter((path) => statSync(path).isFile())
}

/** The texts in objects and arrays, at every depth. */
function targetsIn (value: unknown): string[] {
  return typeof value === 'string' ? [value] : Object.values(value as object).flatMap(targetsIn)
}

t.test('publint: finds no problem', async (t) => {
  const { tarball } = await packed
  const { messages } = await publint({ pack: { tarball: new Uint8Array(readFileSync(tarball)).buffer }, strict: true })
  t.strictSame(messages, [])
})

t.test('are-the-types-wrong: finds no problem', async (t) => {
  const { tarball } = await packed
  // .attw.json excludes exports that are no code, and a rule that is outdated since Node.js can require() ES modules.
  const { stdout } = await run('npx', ['--no-install', 'attw', tarball, '--format', 'json']).catch((error: unknown) => error as { stdout: string })
  const { analysis, problems } = JSON.parse(stdout)
  t.strictSame(Object.keys(analysis.entrypoints), ['.', './openapi.json', './package.json'])
  t.strictSame(Object.keys(problems ?? {}).filter((kind) => kind !== 'CJSResolvesToESM'), [])
})

t.test("the plugin's entry file: imports neither the command line nor undeclared packages, at any depth", async (t) => {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (path: string): void => {
    if (files.has(path)) return
    files.add(path)
    // What `import … from`, `export … from`, `import()` and `require()` name.
    for (const [, specifier] of readFileSync(path, 'utf8').matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"\n]+)['"]/g)) {
      if (specifier!.startsWith('.')) visit(posix.join(posix.dirname(path), specifier!))
      else packages.add(specifier!)
    }
  }
  visit('dist/index.js')
  t.strictSame([...files].filter((path) => path.startsWith('dist/cli/')), [])
  t.ok(files.size > 10, 'all files of the plugin were visited')
  t.ok(packages.has('kysely'))
  for (const name of ['@fastify/rate-limit', '@fastify/swagger', '@fastify/swagger-ui', 'better-sqlite3', 'fastify']) {
    t.notOk(packages.has(name), name)
  }
  for (const name of packages) t.ok(name.startsWith('node:') || isDeclared(name), `${name} is declared`)
})

t.test('the types: import declared packages only', async (t) => {
  const { paths } = await packed
  // Names in `from '…'`, `import('…')` and `/// <reference types="…" />`. Our own files begin with a dot and are left out.
  const packages = new Set(paths.filter((path) => path.endsWith('.d.ts')).flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/\b(?:from |import\(|types=)['"]([^.'"][^'"]*)['"]/g)].map(([, name]) => name!)))
  t.ok(packages.has('@fastify/error'))
  for (const name of packages) t.ok(isDeclared(name), `${name} is declared`)
})

function isDeclared (specifier: string): boolean {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  return Object.keys({ ...dependencies, ...peerDependencies }).some((name) => specifier === name || specifier.startsWith(`${name}/`))
}
