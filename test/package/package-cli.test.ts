// Runs the command line of the packed package, beside its dependencies and required peers only. They are linked from the node_modules of
// the repository, so that no registry is needed.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, lstatSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import '../helpers/children-without-tap.js'
import { checkDocumentationPage, waitForCurl } from '../cli/printed-curl.js'
import { skip as skipWithoutNodeSqlite } from '../helpers/node-sqlite.js'
import { link, ownName, unpack } from './install.js'

const run = promisify(execFile)
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<'dependencies' | 'peerDependencies' | 'peerDependenciesMeta', object>
const dependencies = Object.keys(manifest.dependencies)
const peers = Object.keys(manifest.peerDependencies)
// pg, for example, is optional.
const requiredPeers = peers.filter((peer) => !(peer in manifest.peerDependenciesMeta))

// Outside of the repository, so that only what was installed can be found.
const scratch = mkdtempSync(join(tmpdir(), 'package-cli-'))
t.teardown(() => { rmSync(scratch, { recursive: true }) })
const nodeModules = join(scratch, 'node_modules')
const ownFolder = join(nodeModules, ownName)
const main = join(ownFolder, 'dist/cli/main.js')
const command = async (...argv: string[]) => await run(process.execPath, [main, ...argv], { cwd: scratch })

t.before(async () => {
  await unpack(nodeModules)
  for (const name of [...dependencies, ...requiredPeers, 'better-sqlite3']) link(name, nodeModules)
})

t.test('serve --demo: answers the printed curl, and serves all files of the page', async (t) => {
  const server = spawn(process.execPath, [main, 'serve', '--demo', '--port', '0'], { cwd: scratch })
  t.teardown(() => server.kill('SIGKILL'))
  let stderr = ''
  server.stderr.on('data', (data) => { stderr += String(data) })
  const { origin, send } = await waitForCurl(server.stdout)
  t.equal((await send()).status, 200)
  await checkDocumentationPage(t, origin)

  server.kill('SIGTERM')
  t.equal((await once(server, 'exit'))[0], 0)
  t.equal(stderr, '')
})

t.test('every command: finds what it needs', async (t) => {
  t.match((await command('user', 'add', 'ann', '--role', 'livechat-agent')).stdout, 'Added user ann')
  t.match((await command('user', 'list')).stdout, 'ann')
  t.match((await command('token', 'create', 'ann')).stdout, /^[\w-]{43}\n$/)
  await command('import', '--contacts', resolve('test/fixtures/export/contacts.jsonl'))
  t.match((await command('contact', 'list', '--search', 'maria')).stdout, 'maria@example.com')
  t.match((await command('contact', '66f0a1b2c3d4e5f601234567')).stdout, 'maria@example.com')
  t.match((await command('backup', 'copy.db')).stdout, 'Copied omnichannel.db to copy.db')
})

const betterSqlite = join(nodeModules, 'better-sqlite3')

/** Removes the link to better-sqlite3 until the test ends. */
function removeBetterSqlite (t: Test): void {
  rmSync(betterSqlite, { recursive: true })
  t.teardown(() => {
    rmSync(betterSqlite, { recursive: true, force: true })
    link('better-sqlite3', nodeModules)
  })
}

const addUser = async () => await command('user', 'add', 'ann', '--database', 'new.db')

t.test('no better-sqlite3, but a node:sqlite that the plugin accepts: the commands use it', { skip: skipWithoutNodeSqlite }, async (t) => {
  removeBetterSqlite(t)
  t.match((await command('--version')).stdout, /^\d/)
  t.match((await addUser()).stdout, 'Added user ann')
})

const skipWithNodeSqlite = skipWithoutNodeSqlite === false && 'this Node.js has a node:sqlite that the commands use'

t.test('no better-sqlite3 and no node:sqlite: the error names the package', { skip: skipWithNodeSqlite }, async (t) => {
  removeBetterSqlite(t)
  t.match((await command('--version')).stdout, /^\d/)
  const stderr = 'The package better-sqlite3 is missing: npm install fastify-omnichannel-contacts better-sqlite3\n'
  await t.rejects(addUser(), { code: 1, stdout: '', stderr })
  t.notOk(readdirSync(scratch).includes('new.db'))
})

t.test('better-sqlite3 without its addon, and no node:sqlite: the error says how to build it', { skip: skipWithNodeSqlite }, async (t) => {
  removeBetterSqlite(t)
  for (const part of ['lib', 'package.json']) cpSync(join('node_modules/better-sqlite3', part), join(betterSqlite, part), { recursive: true })
  for (const name of ['bindings', 'file-uri-to-path']) link(name, nodeModules)
  const stderr = /^The SQLite addon cannot be loaded \(.*\): npm rebuild better-sqlite3 makes it anew\n$/
  await t.rejects(addUser(), { code: 1, stdout: '', stderr })
  t.notOk(readdirSync(scratch).includes('new.db'))
})

t.test('no pg: the error names the package', async (t) => {
  await t.rejects(command('user', 'list', '--database', 'postgres://localhost/a'), {
    code: 1, stdout: '', stderr: 'The package pg is missing: npm install fastify-omnichannel-contacts pg\n'
  })
})

t.test('LICENSES.txt: has every bundled library, and none of the peers is bundled', async (t) => {
  const text = readFileSync(join(ownFolder, 'dist/cli/LICENSES.txt'), 'utf8')
  // A title is a name, a version and a licence, such as `bson 7.0.0 (Apache-2.0)`, underlined with equals signs.
  const titles = [...text.matchAll(/^(\S+ \S+ \(.*\))\n=+$/gm)].map(([, title]) => title!)
  for (const name of ['commander', '@fastify/rate-limit', '@fastify/swagger', 'swagger-ui', 'prom-client']) {
    t.ok(titles.some((title) => title.startsWith(`${name} `)), name)
  }
  t.equal(new Set(titles).size, titles.length)
  const files = readdirSync(join(ownFolder, 'dist/cli')).filter((name) => name.endsWith('.js'))
  const code = files.map((name) => readFileSync(join(ownFolder, 'dist/cli', name), 'utf8')).join('\n')
  // esbuild writes the path of each bundled module as a comment.
  const paths = [...code.matchAll(/^\/\/ (node_modules\/.*)$/gm)].map(([, path]) => path!)
  const bundled = new Set(paths.map(packageOf))
  t.ok(bundled.size > 10)
  for (const name of bundled) t.ok(titles.some((title) => title.startsWith(`${name} `)), name)
  for (const peer of [...peers, '@fastify/static']) t.notOk(bundled.has(peer), peer)
})

t.test('an installation: at most eight packages and ten megabytes beside the peers', async (t) => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, { dependencies?: object }> }

  /** Where Node.js finds a package that is imported from a folder: in the `node_modules` of this folder, or of one above it. */
  const resolvePackage = (name: string, folder: string): string => {
    const path = join(folder, 'node_modules', name)
    return path in packages ? path : resolvePackage(name, folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, ''))
  }
  /** Adds the folders of these packages, and of their dependencies at every depth. */
  const collect = (names: string[], folder: string, collected: Set<string>): Set<string> => {
    for (const path of names.map((name) => resolvePackage(name, folder)).filter((path) => !collected.has(path))) {
      collected.add(path)
      collect(Object.keys(packages[path]!.dependencies ?? {}), path, collected)
    }
    return collected
  }
  const ofPeers = collect(requiredPeers, '', new Set())
  const added = [...collect(dependencies, '', new Set())].filter((path) => !ofPeers.has(path))
  t.ok(added.length + 1 <= 8, added.join(', '))
  const bytes = [ownFolder, ...added].reduce((sum, path) => sum + sizeOnDisk(path), 0)
  t.ok(bytes <= 10e6, `${bytes} bytes`)
})

/** The name of the package in a path such as `node_modules/a/node_modules/@scope/b/index.js`. */
function packageOf (path: string): string {
  const [name] = /^(@[^/]+\/)?[^/]+/.exec(path.split('node_modules/').at(-1)!)!
  return name
}

/** In bytes, counted in whole blocks as du does. */
function sizeOnDisk (path: string): number {
  const blockSize = 4096
  const stats = lstatSync(path)
  const contents = stats.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOnDisk(join(path, name)), 0) : 0
  return contents + Math.ceil(stats.size / blockSize) * blockSize
}
