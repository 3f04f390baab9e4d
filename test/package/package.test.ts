import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import t, { type Test } from 'tap'

// Of what npm test has built: another build would pull dist away under the other tests.
const run = promisify(execFile)

interface Packed {
  filename: string
  size: number
  files: Array<{ path: string }>
}

async function pack (t: Test): Promise<Packed & { tarball: string, paths: string[] }> {
  const folder = t.testdir()
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder])
  const [packed] = JSON.parse(stdout) as [Packed]
  return { ...packed, tarball: join(folder, packed.filename), paths: packed.files.map(({ path }) => path) }
}

void t.test('the tarball: what a user needs, and nothing else', async (t) => {
  const { size, paths } = await pack(t)
  const beside = ['CHANGELOG.md', 'LICENSE', 'README.md', 'openapi.json', 'package.json', 'schema.sql']
  t.strictSame(paths.filter((path) => !path.startsWith('dist/')).sort(), beside)
  t.strictSame(paths.filter((path) => path.startsWith('dist/') && !/\.(js|d\.ts)$/.test(path)), [], 'code and its types')
  for (const path of paths.filter((path) => path.startsWith('dist/'))) {
    t.ok(existsSync(path.replace(/^dist/, 'src').replace(/\.(d\.ts|js)$/, '.ts')), `${path} has a source`)
  }
  t.ok(size < 200_000, `${size} bytes`)

  const { exports, bin } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<'exports' | 'bin', unknown>
  const targets = JSON.stringify([exports, bin]).match(/\.\/[^"]+\.\w+(?=")(?!":)/g)!
  for (const target of targets) t.ok(paths.includes(posix.normalize(target)), target)
})

void t.test('publint and are-the-types-wrong have nothing to say', async (t) => {
  const { tarball } = await pack(t)
  const file = readFileSync(tarball)
  const { messages } = await publint({
    pack: { tarball: file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) },
    strict: true
  })
  t.strictSame(messages, [])

  // .attw.json leaves out the one export that is no code, and a rule from before Node could require() a module.
  const { stdout } = await run('npx', ['--no-install', 'attw', tarball, '--format', 'json']).catch((error: unknown) => error as { stdout: string })
  const { analysis, problems } = JSON.parse(stdout)
  t.strictSame(Object.keys(analysis.entrypoints), ['.', './openapi.json', './package.json'])
  t.strictSame(Object.keys(problems ?? {}).filter((kind) => kind !== 'CJSResolvesToESM'), [])
})

void t.test("the plugin's entry reaches only what the plugin needs", async (t) => {
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
  const { dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  for (const name of packages) {
    const known = { ...dependencies, ...peerDependencies }
    t.ok(name.startsWith('node:') || Object.keys(known).some((each) => name === each || name.startsWith(`${each}/`)), `${name} is declared`)
  }
})
