// Each example as a reader has it: alone in a folder, with the packages that its first lines name and no other, and the
// package as it is packed. Linked from here, as pnpm would, so that nothing is asked of a registry.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { isAvailable } from '../../.ci/postgres.js'
import '../children.js'
import { openSchema } from '../postgres-handle.js'

const own = 'fastify-omnichannel-contacts'
const examples = readdirSync('examples').filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).map((file) => file.slice(0, -3))
const sourceOf = (example: string): string => readFileSync(`examples/${example}.ts`, 'utf8')

// Without a PostgreSQL there are no several nodes.
const started = examples.filter((example) => isAvailable || example !== 'several-nodes')

// What is printed answers 200, but for what an example shows to be refused.
const statuses: Record<string, number[]> = { duplicates: [200, 400] }

const scratch = mkdtempSync(join(tmpdir(), 'examples-'))
t.teardown(() => { rmSync(scratch, { recursive: true }) })
const store = join(scratch, 'store/node_modules')
const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'], TMPDIR: scratch, PORT: '0' }

function link (from: string, name: string, folder: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  symlinkSync(join(from, name), join(folder, name), 'junction')
}

// Starts one example after the other in one process, each as if it were the program, because to load Fastify takes longer
// than all that they do; tells its parent what each says to do next.
const runner = `
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
for (const file of process.argv.slice(2)) {
  process.argv[1] = file
  process.chdir(dirname(file))
  const said = new Promise((resolve) => { console.log = resolve })
  await import(pathToFileURL(file))
  process.send(await said)
}`

t.before(async () => {
  mkdirSync(join(store, own), { recursive: true })
  const run = promisify(execFile)
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch])
  await run('tar', ['xzf', readdirSync(scratch).find((name) => name.endsWith('.tgz'))!, '-C', join(store, own), '--strip-components', '1'], { cwd: scratch })
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object }
  // Kysely comes with it, as its peer.
  for (const name of [...Object.keys(dependencies), 'kysely']) link(resolve('node_modules'), name, store)
  for (const example of examples) {
    const folder = join(scratch, example)
    for (const name of installs(example).flat()) link(name === own ? store : resolve('node_modules'), name, join(folder, 'node_modules'))
    writeFileSync(join(folder, 'package.json'), '{}')
    cpSync(`examples/${example}.ts`, join(folder, `${example}.ts`))
  }
  writeFileSync(join(scratch, 'runner.mjs'), runner)
  if (!isAvailable) return
  const { url, close } = await openSchema()
  t.teardown(close)
  env['DATABASE_URL'] = url
})

/** The packages that an example says to install: for its imports, and for its tools. */
function installs (example: string): [packages: string[], tools: string[]] {
  const [, packages = '', tools = ''] = /^\/\/ {3}npm install (\S.*)\n\/\/ {3}npm install --save-dev (\S.*)$/m.exec(sourceOf(example)) ?? []
  return [packages.split(' '), tools.split(' ')]
}

/** Starts all; resolves to what each says to do next. */
async function startAll (t: Test): Promise<string[][]> {
  const files = started.map((example) => join(scratch, example, `${example}.ts`))
  const child = spawn(process.execPath, ['--import', 'tsx', join(scratch, 'runner.mjs'), ...files], {
    cwd: join(scratch, 'smallest'), env, stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const said: string[][] = []
  child.on('message', (text: string) => { said.push(curlsIn(text)) })
  while (said.length < started.length) {
    await Promise.race([once(child, 'message'), ended])
    if (child.exitCode !== null) throw new Error(`${started[said.length]!} did not start`)
  }
  return said
}

function curlsIn (text: string): string[] {
  return [...text.matchAll(/^ {2}(curl .*)$/gm)].map(([, curl]) => curl!)
}

/** Does what a printed curl would, for machines without one. The jar stands for its files of cookies. */
async function paste (curl: string, jar: Map<string, string>): Promise<number> {
  const words = [...curl.matchAll(/'([^']*)'|[^\s']+/g)].map(([word, quoted]) => quoted ?? word)
  const after = (flag: string): string[] => words.flatMap((word, index) => word === flag ? [words[index + 1]!] : [])
  const [body] = after('-d')
  const reply = await fetch(words.at(-1)!, {
    method: after('-X')[0] ?? (body === undefined ? 'GET' : 'POST'),
    headers: [...after('-H').map((header) => header.split(': ')), ...after('-b').map((file) => ['cookie', jar.get(file)!])] as Array<[string, string]>,
    ...body !== undefined && { body }
  })
  await reply.arrayBuffer()
  for (const file of after('-c')) jar.set(file, reply.headers.getSetCookie().map((cookie) => cookie.split(';')[0]).join('; '))
  return reply.status
}

for (const time of ['first', 'second']) {
  void t.test(`the ${time} start in a folder: what each example prints works`, async (t) => {
    const said = await startAll(t)
    for (const [index, example] of started.entries()) {
      const jar = new Map<string, string>()
      const answers = []
      for (const curl of said[index]!) answers.push(await paste(curl, jar))
      t.ok(answers.length > 0, `${example} says what to do next`)
      t.strictSame(answers, statuses[example] ?? answers.map(() => 200), example)
    }
  })
}

void t.test('tsx itself, and the example as the program: the same', async (t) => {
  const child = spawn(process.execPath, ['node_modules/tsx/dist/cli.mjs', 'smallest.ts'], { cwd: join(scratch, 'smallest'), env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
  })
  let printed = ''
  for await (const line of createInterface({ input: child.stdout })) {
    printed += `${line}\n`
    if (curlsIn(printed).length > 0) break
  }
  t.equal(await paste(curlsIn(printed)[0]!, new Map()), 200)
})

void t.test('every example installs exactly what it imports, with the types of that', async (t) => {
  for (const example of examples) {
    const imports = [...sourceOf(example).matchAll(/^import .* from '([^']+)'$/gm)].map(([, name]) => name!).filter((name) => !name.startsWith('node:'))
    const types = ['node', ...imports].map((name) => `@types/${name.replace(/^@(.*)\//, '$1__')}`).filter((name) => existsSync(join('node_modules', name)))
    const [packages, tools] = installs(example)
    t.strictSame(packages.sort(), imports.sort(), example)
    t.strictSame(tools.sort(), ['tsx', ...types].sort(), example)
  }
})

void t.test('every example says how it is saved and run, has a test, and stands in the list with what it needs', async (t) => {
  const list = readFileSync('examples/README.md', 'utf8')
  for (const example of examples) {
    const text = sourceOf(example)
    t.match(text, new RegExp(`^// In an empty folder, saved as ${example}\\.ts:$`, 'm'), example)
    const [, run] = new RegExp(`^// {3}(.*npx tsx ${example}\\.ts)$`, 'm').exec(text) ?? []
    t.match(readFileSync(`examples/${example}.test.ts`, 'utf8'), `npx tap examples/${example}.test.ts`)
    const row = list.split('\n').find((line) => line.startsWith(`| [${example}.ts](${example}.ts) |`)) ?? ''
    const [, , , install, command] = row.split(/ *\| */)
    t.equal(command, `\`${run ?? ''}\``)
    t.strictSame(install?.match(/[^`, ]+/g) ?? [], installs(example)[0].filter((name) => name !== own && name !== 'fastify'), example)
    t.notMatch(text, /\.\.\/|TODO/, example)
  }
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  for (const [, script] of list.matchAll(/npm run ([\w:-]+)/g)) t.hasOwnProp(scripts, script!)
  for (const [, file] of list.matchAll(/\]\(([^)#:]+)\)/g)) t.ok(existsSync(join('examples', file!)), file!)
})

void t.test('history, outbox and duplicates: under sixty lines of host code each', async (t) => {
  for (const example of ['history', 'outbox', 'duplicates']) {
    const [host] = sourceOf(example).split('\nexport function addDemo')
    const lines = host!.split('\n').filter((line) => line.trim() !== '' && !/^ *(\/\/|\/\*\*)/.test(line))
    t.ok(lines.length < 60, `${example}: ${lines.length}`)
  }
})
