// Runs each example alone in a folder, with the packed package and only the packages that its first lines name. They are linked from
// here, so that no registry is needed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { isAvailable } from '../helpers/postgres-server.js'
import '../helpers/children.js'
import { sendCurl } from '../helpers/curl.js'
import { openSchema } from '../helpers/postgres.js'
import { examples, installs } from './example-files.js'
import { link, ownName, unpack } from './install.js'

// several-nodes needs PostgreSQL.
const started = examples.filter((example) => isAvailable || example !== 'several-nodes')

// The statuses of the printed commands, if they are not all 200.
const statuses: Record<string, number[]> = { duplicates: [200, 400] }

const scratch = mkdtempSync(join(tmpdir(), 'examples-'))
t.teardown(() => { rmSync(scratch, { recursive: true }) })
const store = join(scratch, 'store/node_modules')
const env: NodeJS.ProcessEnv = { PATH: process.env.PATH, TMPDIR: scratch, PORT: '0' }

// Starts one example after the other in one process, because loading Fastify takes longer than all that they do. Each is started as if
// it were the program. The parent gets the first text with a curl command that each prints.
const runner = `
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
for (const file of process.argv.slice(2)) {
  process.argv[1] = file
  process.chdir(dirname(file))
  const said = new Promise((resolve) => { console.log = (text) => { if (text.includes('curl ')) resolve(text) } })
  await import(pathToFileURL(file))
  process.send(await said)
}`

t.before(async () => {
  await unpack(store)
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object }
  // npm installs Kysely as well, which is a peer of the package.
  for (const name of [...Object.keys(dependencies), 'kysely']) link(name, store)
  for (const example of examples) {
    const folder = join(scratch, example)
    for (const name of installs(example).flat()) link(name, join(folder, 'node_modules'), name === ownName ? store : undefined)
    writeFileSync(join(folder, 'package.json'), '{}')
    cpSync(`examples/${example}.ts`, join(folder, `${example}.ts`))
  }
  writeFileSync(join(scratch, 'runner.mjs'), runner)
  if (!isAvailable) return
  const { url, close } = await openSchema()
  t.teardown(close)
  env.DATABASE_URL = url
})

/** Starts all examples. Resolves to the curl commands that each prints. */
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

async function paste (curl: string, jar?: Map<string, string>): Promise<number> {
  const reply = await sendCurl(curl, jar)
  await reply.arrayBuffer()
  return reply.status
}

for (const time of ['first', 'second']) {
  t.test(`the ${time} start in a folder: the printed commands of each example work`, async (t) => {
    const said = await startAll(t)
    for (const [index, example] of started.entries()) {
      const jar = new Map<string, string>()
      const answers = []
      for (const curl of said[index]!) answers.push(await paste(curl, jar))
      t.ok(answers.length > 0, `${example} prints a command`)
      t.strictSame(answers, statuses[example] ?? answers.map(() => 200), example)
    }
  })
}

t.test('an example that is run with tsx: its printed command works', async (t) => {
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
  t.equal(await paste(curlsIn(printed)[0]!), 200)
})
