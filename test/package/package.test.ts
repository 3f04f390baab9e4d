import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import t from 'tap'
import '../helpers/children.js'

// Packs the dist that npm test has built. Another build would remove dist while other tests use it.
const run = promisify(execFile)

interface Packed {
  filename: string
  size: number
  files: Array<{ path: string }>
}

async function pack (): Promise<Packed & { tarball: string, paths: string[] }> {
  const folder = t.testdir()
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder])
  const [packed] = JSON.parse(stdout) as [Packed]
  return { ...packed, tarball: join(folder, packed.filename), paths: packed.files.map(({ path }) => path) }
}

const packed = pack()

t.test('the tarball: has what a user needs, and nothing else', async (t) => {
  const { size, paths } = await packed
  const beside = [
    'CHANGELOG.md', 'LICENSE', 'README.md', '.github/CONTRIBUTING.md', '.github/SECURITY.md', 'bench/README.md', 'bench/chart.svg', 'bench/results.json',
    'openapi.json', 'package.json', 'schema.postgres.sql', 'schema.sql'
  ]
  const folders = ['docs', 'examples'].flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => posix.join(folder, name)))
  const documents = folders.filter((path) => statSync(path).isFile() && !path.endsWith('.test.ts'))
  const migrations = ['postgres', 'sqlite'].flatMap((engine) => readdirSync(`src/store/migrations/${engine}`).map((name) => `src/store/migrations/${engine}/${name}`))
  t.strictSame(paths.filter((path) => !path.startsWith('dist/')).sort(), [...beside, ...documents, ...migrations].sort())
  const plugin = paths.filter((path) => path.startsWith('dist/') && !path.startsWith('dist/cli/'))
  t.strictSame(plugin.filter((path) => !/\.(js|d\.ts)$/.test(path)), [], 'code and its types')
  for (const path of plugin) t.ok(existsSync(path.replace(/^dist/, 'src').replace(/\.(d\.ts|js)$/, '.ts')), `${path} has a source`)
  // The command line is a bundle, with the files of its documentation page and the licences of what is inside.
  t.ok(paths.includes('dist/cli/LICENSES.txt'))
  t.strictSame(paths.filter((path) => path.startsWith('dist/cli/') && !/^dist\/cli\/((serve\/)?[\w-]+\.js|LICENSES\.txt|documentation\/.*\.gz)$/.test(path)), [])
  t.ok(size < 900_000, `${size} bytes`)

  const { exports, bin } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<'exports' | 'bin', unknown>
  const targets = JSON.stringify([exports, bin]).match(/\.\/[^"]+\.\w+(?=")(?!":)/g)!
  for (const target of targets) t.ok(paths.includes(posix.normalize(target)), target)
})

t.test('publint and are-the-types-wrong: find no problem', async (t) => {
  const { tarball } = await packed
  const file = readFileSync(tarball)
  const { messages } = await publint({
    pack: { tarball: file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) },
    strict: true
  })
  t.strictSame(messages, [])

  // .attw.json excludes exports that are no code, and a rule that is outdated since Node.js can require() ES modules.
  const { stdout } = await run('npx', ['--no-install', 'attw', tarball, '--format', 'json']).catch((error: unknown) => error as { stdout: string })
  const { analysis, problems } = JSON.parse(stdout)
  t.strictSame(Object.keys(analysis.entrypoints), ['.', './openapi.json', './package.json'])
  t.strictSame(Object.keys(problems ?? {}).filter((kind) => kind !== 'CJSResolvesToESM'), [])
})

t.test("the plugin's entry: reaches neither the command line nor undeclared packages", async (t) => {
  const seen = new Set<string>()
  const packages = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    for (const [, specifier] of readFileSync(path, 'utf8').matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"\n]+)['"]/g)) {
      if (specifier!.startsWith('.')) visit(posix.join(posix.dirname(path), specifier!))
      else packages.add(specifier!)
    }
  }
  visit('dist/index.js')
  t.strictSame([...seen].filter((path) => path.startsWith('dist/cli/')), [])
  t.ok(seen.size > 10, 'the whole plugin was seen')
  t.ok(packages.has('kysely'))
  for (const name of ['@fastify/rate-limit', '@fastify/swagger', '@fastify/swagger-ui', 'better-sqlite3', 'fastify']) {
    t.notOk(packages.has(name), name)
  }
  for (const name of packages) t.ok(name.startsWith('node:') || isDeclared(name), `${name} is declared`)
})

t.test('the types: import declared packages only', async (t) => {
  const { paths } = await packed
  const packages = new Set(paths.filter((path) => path.endsWith('.d.ts')).flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/\b(?:from |import\(|types=)['"]([^.'"][^'"]*)['"]/g)].map(([, name]) => name!)))
  t.ok(packages.has('@fastify/error'))
  for (const name of packages) t.ok(isDeclared(name), `${name} is declared`)
})

function isDeclared (specifier: string): boolean {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  return Object.keys({ ...dependencies, ...peerDependencies }).some((name) => specifier === name || specifier.startsWith(`${name}/`))
}
