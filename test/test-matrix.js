// npm run test:matrix -- --node 22 --peers newest --sqlite better-sqlite3: the tests on that Node.js, with the lowest or the newest peers
// that package.json and that Node.js allow, and with that kind of SQLite handle. Without an option, all its values are run.
// .github/workflows/ci.yml runs each row as a job. With --unit, only tests that need no built program are run. A row is run in a copy,
// so your node_modules stay as they are. Another Node.js than this one comes from the npm package `node`.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    node: { type: 'string', multiple: true },
    peers: { type: 'string', multiple: true },
    sqlite: { type: 'string', multiple: true },
    unit: { type: 'boolean' }
  }
})
const root = fileURLToPath(new URL('..', import.meta.url))
const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
// The path of npm's script: of the npm that runs this file, or else of the one in the PATH.
const npmScript = process.env.npm_execpath ?? execFileSync('npm', ['exec', '-c', 'echo $npm_execpath'], { encoding: 'utf8' }).trim()

const results = []
for (const node of values.node ?? ['20', '22', '24', '26']) {
  for (const peers of values.peers ?? ['lowest', 'newest']) {
    for (const sqlite of values.sqlite ?? ['better-sqlite3', 'node:sqlite']) {
      // Node.js 20 has no node:sqlite, and that of 22 cuts texts at U+0000.
      if (sqlite !== 'node:sqlite' || !['20', '22'].includes(node)) {
        results.push([node, peers, sqlite, runRow(node, peers, sqlite) ? 'passed' : 'FAILED'])
      }
    }
  }
}
console.log(results.map((row) => row.join('  ')).join('\n'))
if (results.some((row) => row.includes('FAILED'))) process.exitCode = 1

function runRow(node, peers, sqlite) {
  const folder = mkdtempSync(join(tmpdir(), 'test-matrix-'))
  try {
    const [copy, { bin, headers }] = [join(folder, 'copy'), findNode(node, folder)]
    const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
    for (const file of new Set(files.split('\0').filter((file) => file !== '' && existsSync(join(root, file))))) {
      cpSync(join(root, file), join(copy, file))
    }
    const quietly = ['--no-audit', '--no-fund', '--ignore-scripts']
    const specs = specsOf(peers, node)
    return [
      ['ci', ...quietly],
      ['install', '--no-save', ...quietly, ...specs],
      // It is compiled where no binary can be fetched, which takes over a minute. 13 brings its binary.
      ...specs.some((spec) => /^better-sqlite3@\D*12/.test(spec)) ? [['rebuild', 'better-sqlite3', '--dangerously-allow-all-scripts']] : [],
      ['exec', '--', 'tap', 'build'],
      ...values.unit ? [['run', 'typecheck'], ['run', 'test:unit']] : [['test', '--', '--disable-coverage']]
    ].every((args) => npm(bin, copy, args, { npm_config_nodedir: headers, SQLITE_HANDLE: sqlite }))
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** Fastify keeps its locked version, because the tests use features of 5.8. */
function specsOf(peers, node) {
  return Object.entries(peerDependencies).filter(([name]) => name !== 'fastify').map(([name, ranges]) => {
    const usable = rangesOf(name, ranges.split(' || '), node)
    return `${name}@${peers === 'lowest' ? usable[0].replace('^', '') : usable.at(-1)}`
  })
}

/** On Node.js 20 the first of several ranges works, as the last needs 22. better-sqlite3 12 aborts on 24. */
function rangesOf(name, ranges, node) {
  if (node === '20') return ranges.slice(0, 1)
  return name === 'better-sqlite3' && node !== '22' ? ranges.slice(-1) : ranges
}

/** The executable, and the folder of the headers that addons are built with. */
function findNode(version, folder) {
  if (process.versions.node.startsWith(`${version}.`)) return { bin: process.execPath }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, allowScripts: { node: true } }))
  npm(process.execPath, folder, ['install', '--no-save', '--no-audit', '--no-fund', `node@${version}`])
  const installed = join(folder, 'node_modules/node')
  const bin = ['node', 'node.exe'].map((name) => join(installed, 'bin', name)).find(existsSync)
  if (bin === undefined) throw new Error(`node@${version} was not installed`)
  const platform = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  const headers = [join(folder, 'node_modules', platform), join(installed, 'node_modules', platform)]
    .find((each) => existsSync(join(each, 'include/node/node.h')))
  return { bin, headers }
}

/** Runs npm with the Node.js `bin`, and puts that first into the PATH of its children. */
function npm(bin, cwd, args, env = {}) {
  console.log(`\n$ npm ${args.join(' ')}`)
  // If npm runs this file, its variables name another folder and other headers.
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix|config_nodedir)/.test(name))
  const given = Object.entries(env).filter(([, value]) => value !== undefined)
  const all = { ...Object.fromEntries([...inherited, ...given]), PATH: `${dirname(bin)}${delimiter}${process.env.PATH}` }
  return spawnSync(bin, [npmScript, ...args], { cwd, env: all, stdio: 'inherit' }).status === 0
}
