// npm run test:matrix -- --node 22 --peers newest: the tests on that Node.js, with the lowest or the newest peers that package.json
// and that Node.js allow. It is what .github/workflows/ci.yml runs for a row of its own; without the two, all rows are run. With
// --unit only what needs no built program. A row is run in a copy, so that your node_modules stay as they are; where it is
// on another Node.js than this one, that is the npm package `node`.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { node: { type: 'string', multiple: true }, peers: { type: 'string', multiple: true }, unit: { type: 'boolean' } }
})
const root = fileURLToPath(new URL('..', import.meta.url))
const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
// Run by npm, this is its own script; on its own, the one in the PATH.
const npmScript = process.env.npm_execpath ?? execFileSync('npm', ['exec', '-c', 'echo $npm_execpath'], { encoding: 'utf8' }).trim()

const results = []
for (const node of values.node ?? ['20', '22', '24']) {
  for (const peers of values.peers ?? ['lowest', 'newest']) results.push([node, peers, runRow(node, peers) ? 'passed' : 'FAILED'])
}
console.log(results.map((row) => row.join('  ')).join('\n'))
if (results.some((row) => row.includes('FAILED'))) process.exitCode = 1

function runRow(node, peers) {
  const folder = mkdtempSync(join(tmpdir(), 'test-matrix-'))
  try {
    const [copy, { bin, headers }] = [join(folder, 'copy'), findNode(node, folder)]
    const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
    for (const file of new Set(files.split('\0').filter((file) => file !== '' && existsSync(join(root, file))))) {
      cpSync(join(root, file), join(copy, file))
    }
    const quietly = ['--no-audit', '--no-fund', '--ignore-scripts']
    return [
      ['ci', ...quietly],
      ['install', '--no-save', ...quietly, ...specsOf(peers, node)],
      // From source where no prebuilt binary can be fetched, which takes over a minute.
      ['rebuild', 'better-sqlite3'],
      ...values.unit ? [['run', 'typecheck'], ['run', 'test:unit']] : [['test', '--', '--disable-coverage']]
    ].every((args) => npm(bin, copy, args, headers))
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** Fastify stays the locked one: the plugin asks less of it than the tests, which show what came with 5.8. */
function specsOf(peers, node) {
  return Object.entries(peerDependencies).filter(([name]) => name !== 'fastify').map(([name, ranges]) => {
    const usable = rangesOf(name, ranges.split(' || '), node)
    return `${name}@${peers === 'lowest' ? usable[0].replace('^', '') : usable.at(-1)}`
  })
}

/** The last of several wants Node.js 22. better-sqlite3 before 13 aborts on 24, whose headers change the class that it builds on. */
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

/** Runs npm under a Node.js, which all that it starts then finds first. */
function npm(bin, cwd, args, headers) {
  console.log(`\n$ npm ${args.join(' ')}`)
  // What the npm that runs this tells its scripts is about another folder, and about other headers.
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix|config_nodedir)/.test(name))
  const env = { ...Object.fromEntries(inherited), PATH: `${dirname(bin)}${delimiter}${process.env.PATH}` }
  if (headers !== undefined) env.npm_config_nodedir = headers
  return spawnSync(bin, [npmScript, ...args], { cwd, env, stdio: 'inherit' }).status === 0
}
