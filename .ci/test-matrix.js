// Runs the suite on each Node.js with the lowest and the newest better-sqlite3 and kysely that package.json and that
// Node.js allow, and prints a table. Works on copies in a temporary folder; Node.js is the npm package `node`.
//
//   npm run test:matrix               all, which takes its time: better-sqlite3 may have to be built for each row
//   npm run test:matrix -- 22 24      only these
//   npm run test:matrix -- --newest   only the newest peers (or --lowest)

import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const peers = {
  lowest: { 'better-sqlite3': '12.0.0', 'kysely': '0.28.0' },
  newest: { 'better-sqlite3': '^13.0.0', 'kysely': '^0.29.0' },
  // Later ones want Node.js 22.
  newestOn20: { 'better-sqlite3': '^12.0.0', 'kysely': '^0.28.0' }
}

const root = fileURLToPath(new URL('..', import.meta.url))
const wanted = process.argv.slice(2)
const nodes = ['20', '22', '24'].filter((node) => !wanted.some((each) => /^\d/.test(each)) || wanted.includes(node))
const ends = ['lowest', 'newest'].filter((end) => !wanted.some((each) => each.startsWith('--')) || wanted.includes(`--${end}`))
// Run by npm, this is its own script; on its own, the one in the PATH.
const npmScript = process.env.npm_execpath ?? execFileSync('npm', ['exec', '-c', 'echo $npm_execpath'], { encoding: 'utf8' }).trim()

const folder = mkdtempSync(join(tmpdir(), 'test-matrix-'))
const rows = []
try {
  for (const node of nodes) {
    const { bin, headers } = installNode(node)
    for (const end of ends) {
      const row = test(bin, headers, end, node)
      rows.push(row)
      process.stderr.write(`${row.join('  ')}\n`)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

const titles = ['Node.js', 'better-sqlite3', 'kysely', 'types', 'tests', 'seconds']
console.log([titles, titles.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n'))
if (rows.some((row) => row.includes('FAILED'))) process.exitCode = 1

/** Returns the executable, and the folder of the headers that addons are built with. */
function installNode(version) {
  const home = join(folder, `node-${version}`)
  mkdirSync(home)
  writeFileSync(join(home, 'package.json'), JSON.stringify({ private: true, allowScripts: { node: true } }))
  const { status, log } = npm(process.execPath, home, ['install', '--no-save', '--no-audit', '--no-fund', `node@${version}`])
  const [bin] = ['node', 'node.exe'].map((name) => join(home, 'node_modules/node/bin', name)).filter(existsSync)
  if (status !== 0 || bin === undefined) throw new Error(`npm install node@${version} failed\n${readFileSync(log, 'utf8')}`)
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  const headers = [join(home, 'node_modules', name), join(home, 'node_modules/node/node_modules', name)]
    .find((each) => existsSync(join(each, 'include/node/node.h')))
  return { bin, headers }
}

function test(bin, headers, end, node) {
  const copy = join(folder, `${node}-${end}`)
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  for (const file of new Set(files.split('\0').filter((file) => file !== '' && existsSync(join(root, file))))) {
    cpSync(join(root, file), join(copy, file))
  }
  const specs = Object.entries(peers[end === 'newest' && node === '20' ? 'newestOn20' : end]).map(([name, range]) => `${name}@${range}`)

  const start = Date.now()
  const run = (...args) => npm(bin, copy, args, headers).status === 0
  const installed = run('ci', '--ignore-scripts', '--no-audit', '--no-fund')
    && run('install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', ...specs)
    && run('rebuild', 'better-sqlite3')
  const types = installed && run('run', 'typecheck')
  const built = installed && run('run', 'build')
  const passes = built && run('exec', '--', 'tap', '--disable-coverage', '--reporter=tap')

  const log = readFileSync(logOf(copy), 'utf8')
  for (const line of log.split('\n').filter((line) => /^\s*not ok |error TS|npm error/.test(line))) process.stderr.write(`${line}\n`)
  const [, pass = '0'] = /^# \{ total: .*?pass: (\d+)/m.exec(log) ?? []
  const version = (name) => JSON.parse(readFileSync(join(copy, 'node_modules', name, 'package.json'), 'utf8')).version
  return [
    execFileSync(bin, ['--version'], { encoding: 'utf8' }).trim(),
    ...['better-sqlite3', 'kysely'].map((name) => installed ? version(name) : 'not installed'),
    types ? 'pass' : 'FAILED',
    passes ? `${pass} pass` : 'FAILED',
    Math.round((Date.now() - start) / 1000)
  ]
}

/** Runs npm under another Node.js, which all that it starts then finds first. */
function npm(bin, cwd, args, headers) {
  // What the npm that runs this tells its scripts is about another folder, and about other headers.
  const inherited = Object.entries(process.env)
    .filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix|config_nodedir)/.test(name))
  const env = { ...Object.fromEntries(inherited), PATH: `${dirname(bin)}${delimiter}${process.env.PATH}` }
  if (headers !== undefined) env.npm_config_nodedir = headers
  const { status, stdout, stderr } = spawnSync(bin, [npmScript, ...args], { cwd, env, encoding: 'utf8', maxBuffer: 2 ** 28 })
  const log = logOf(cwd)
  appendFileSync(log, `\n$ npm ${args.join(' ')}\n${stdout}${stderr}`)
  return { status, log }
}

function logOf(cwd) {
  return `${cwd}.log`
}
