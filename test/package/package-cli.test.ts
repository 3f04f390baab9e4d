// Runs the command line of the packed package beside its dependencies and peers only. They are linked from here, so that no registry is
// needed.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, lstatSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import '../helpers/children.js'
import { checkDocumentationPage, waitForCurl } from '../cli/printed-curl.js'
import { skip as lacksNodeSqlite } from '../helpers/node-sqlite.js'
import { link, ownName, unpack } from './install.js'

const run = promisify(execFile)
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<'dependencies' | 'peerDependencies' | 'peerDependenciesMeta', object>
const dependencies = Object.keys(manifest.dependencies)
const peers = Object.keys(manifest.peerDependencies)
// Without the optional peers, such as pg.
const installed = peers.filter((peer) => !(peer in manifest.peerDependenciesMeta))

// Outside of the repository, so that only what was installed can be found.
const scratch = mkdtempSync(join(tmpdir(), 'package-cli-'))
t.teardown(() => { rmSync(scratch, { recursive: true }) })
const modules = join(scratch, 'node_modules')
const own = join(modules, ownName)
const command = async (...argv: string[]) => await run(process.execPath, [join(own, 'dist/cli/main.js'), ...argv], { cwd: scratch })

t.before(async () => {
  await unpack(modules)
  for (const name of [...dependencies, ...installed, 'better-sqlite3']) link(name, modules)
})

t.test('serve --demo: answers the printed curl, and serves all files of the page', async (t) => {
  const server = spawn(process.execPath, [join(own, 'dist/cli/main.js'), 'serve', '--demo', '--port', '0'], { cwd: scratch })
  t.teardown(() => server.kill('SIGKILL'))
  let err = ''
  server.stderr.on('data', (data) => { err += String(data) })
  const { origin: url, send } = await waitForCurl(server.stdout)
  t.equal((await send()).status, 200)
  await checkDocumentationPage(t, url)

  server.kill('SIGTERM')
  t.equal((await once(server, 'exit'))[0], 0)
  t.equal(err, '')
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

t.test('no better-sqlite3: node:sqlite is used if the plugin accepts it, otherwise the error names the package', async (t) => {
  const sqlite = join(scratch, 'node_modules/better-sqlite3')
  rmSync(sqlite, { recursive: true })
  t.teardown(() => {
    rmSync(sqlite, { recursive: true, force: true })
    link('better-sqlite3', modules)
  })
  t.match((await command('--version')).stdout, /^\d/)
  const add = async () => await command('user', 'add', 'ann', '--database', 'new.db')
  if (lacksNodeSqlite === false) {
    t.match((await add()).stdout, 'Added user ann')
    return
  }
  await t.rejects(add(), { code: 1, stdout: '', stderr: 'The package better-sqlite3 is missing: npm install fastify-omnichannel-contacts better-sqlite3\n' })

  for (const part of ['lib', 'package.json']) cpSync(join('node_modules/better-sqlite3', part), join(sqlite, part), { recursive: true })
  for (const name of ['bindings', 'file-uri-to-path']) link(name, modules)
  await t.rejects(add(), { code: 1, stdout: '', stderr: /^The SQLite addon cannot be loaded \(.*\): npm rebuild better-sqlite3 makes it anew\n$/ })
  t.notOk(readdirSync(scratch).includes('new.db'))
})

t.test('no pg: the error names the package', async (t) => {
  await t.rejects(command('user', 'list', '--database', 'postgres://localhost/a'), {
    code: 1, stdout: '', stderr: 'The package pg is missing: npm install fastify-omnichannel-contacts pg\n'
  })
})

t.test('LICENSES.txt: has every bundled library', async (t) => {
  const text = readFileSync(join(own, 'dist/cli/LICENSES.txt'), 'utf8')
  const titles = [...text.matchAll(/^(\S+ \S+ \(.*\))\n=+$/gm)].map(([, title]) => title!)
  for (const name of ['commander', '@fastify/rate-limit', '@fastify/swagger', 'swagger-ui', 'prom-client']) {
    t.ok(titles.some((title) => title.startsWith(`${name} `)), name)
  }
  t.equal(new Set(titles).size, titles.length)
  const files = readdirSync(join(own, 'dist/cli')).filter((name) => name.endsWith('.js'))
  const code = files.map((name) => readFileSync(join(own, 'dist/cli', name), 'utf8')).join('\n')
  // A comment of esbuild's names the file of each module.
  const inside = new Set([...code.matchAll(/^\/\/ (node_modules\/.*)$/gm)].map(([, file]) =>
    /^(@[^/]+\/)?[^/]+/.exec(file!.split('node_modules/').at(-1)!)![0]))
  t.ok(inside.size > 10)
  for (const name of inside) t.ok(titles.some((title) => title.startsWith(`${name} `)), name)
  for (const peer of [...peers, '@fastify/static']) t.notOk(inside.has(peer), peer)
})

t.test('an installation: at most eight packages and ten megabytes beside the peers', async (t) => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, { dependencies?: object }> }

  /** Where Node finds a package that is required from a folder. */
  const find = (name: string, from: string): string => {
    const path = join(from, 'node_modules', name)
    return path in packages ? path : find(name, from.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, ''))
  }
  const reach = (names: string[], from: string, reached: Set<string>): Set<string> => {
    for (const path of names.map((name) => find(name, from)).filter((path) => !reached.has(path))) {
      reached.add(path)
      reach(Object.keys(packages[path]!.dependencies ?? {}), path, reached)
    }
    return reached
  }
  const present = reach(installed, '', new Set())
  const added = [...reach(dependencies, '', new Set())].filter((path) => !present.has(path))
  t.ok(added.length + 1 <= 8, added.join(', '))
  const bytes = [own, ...added].reduce((sum, path) => sum + onDisk(path), 0)
  t.ok(bytes <= 10e6, `${bytes} bytes`)
})

/** As du counts: whole blocks. */
function onDisk (path: string): number {
  const stats = lstatSync(path)
  const inside = stats.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + onDisk(join(path, name)), 0) : 0
  return inside + Math.ceil(stats.size / 4096) * 4096
}
