// Runs each example in a folder that has only the packed package and the packages that the example says to install. They are linked from
// the node_modules of the repository, so that no registry is needed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { isAvailable } from '../helpers/postgres-server.js'
import '../helpers/children-without-tap.js'
import { sendCurl } from '../helpers/curl.js'
import { openSchema } from '../helpers/postgres.js'
import { examples, installedBy } from './example-files.js'
import { link, ownName, unpack } from './install.js'

// several-nodes needs PostgreSQL.
const runnable = examples.filter((example) => isAvailable || example !== 'several-nodes')

/** The statuses of the commands that an example prints, if they are not all 200. */
const expectedStatuses: Record<string, number[]> = { duplicates: [200, 400] }

const scratch = mkdtempSync(join(tmpdir(), 'examples-'))
t.teardown(() => { rmSync(scratch, { recursive: true }) })
/** Holds the packed package and its dependencies. The folders of the examples have links to it. */
const store = join(scratch, 'store/node_modules')
const env: NodeJS.ProcessEnv = { PATH: process.env.PATH, TMPDIR: scratch, PORT: '0' }

// A program that imports the examples, one after the other. When one prints its curl commands, the program sends this text to the test. They
// share a process, because loading Fastify takes longer than all that they do. An example reads its own path in process.argv.
const runner = `
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
for (const file of process.argv.slice(2)) {
  process.argv[1] = file
  process.chdir(dirname(file))
  const printed = new Promise((resolve) => { console.log = (text) => { if (text.includes('curl ')) resolve(text) } })
  await import(pathToFileURL(file))
  process.send(await printed)
}`

t.before(async () => {
  await unpack(store)
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object }
  // npm installs Kysely as well, which is a peer of the package.
  for (const name of [...Object.keys(dependencies), 'kysely']) link(name, store)
  for (const example of examples) {
    const folder = join(scratch, example)
    const { packages, tools } = installedBy(example)
    for (const name of [...packages, ...tools]) link(name, join(folder, 'node_modules'), name === ownName ? store : undefined)
    writeFileSync(join(folder, 'package.json'), '{}')
    cpSync(`examples/${example}.ts`, join(folder, `${example}.ts`))
  }
  writeFileSync(join(scratch, 'runner.mjs'), runner)
  if (!isAvailable) return
  const { url, close } = await openSchema()
  t.teardown(close)
  env.DATABASE_URL = url
})

/** Starts all examples. Resolves to a list of the printed curl commands for each. */
async function startAll (t: Test): Promise<string[][]> {
  const files = runnable.map((example) => join(scratch, example, `${example}.ts`))
  const child = spawn(process.execPath, ['--import', 'tsx', join(scratch, 'runner.mjs'), ...files], {
    cwd: join(scratch, 'smallest'), env, stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const commands: string[][] = []
  child.on('message', (printed: string) => { commands.push(curlCommandsIn(printed)) })
  while (commands.length < runnable.length) {
    await Promise.race([once(child, 'message'), ended])
    if (child.exitCode !== null) throw new Error(`${runnable[commands.length]!} did not start`)
  }
  return commands
}

function curlCommandsIn (text: string): string[] {
  return [...text.matchAll(/^ {2}(curl .*)$/gm)].map(([, command]) => command!)
}

/** Sends the request of a curl command. Resolves to the status of its answer. */
async function statusOf (command: string, cookieFiles?: Map<string, string>): Promise<number> {
  const reply = await sendCurl(command, cookieFiles)
  await reply.arrayBuffer()
  return reply.status
}

// At the second start, the database of the first is there.
for (const time of ['first', 'second']) {
  t.test(`the ${time} start in a folder: the printed commands of each example work`, async (t) => {
    const commands = await startAll(t)
    for (const [index, example] of runnable.entries()) {
      const cookieFiles = new Map<string, string>()
      const statuses = []
      for (const command of commands[index]!) statuses.push(await statusOf(command, cookieFiles))
      t.ok(statuses.length > 0, `${example} prints a command`)
      t.strictSame(statuses, expectedStatuses[example] ?? statuses.map(() => 200), example)
    }
  })
}

t.test('an example that is started as its comment says, with tsx: its printed command works', async (t) => {
  const child = spawn(process.execPath, ['node_modules/tsx/dist/cli.mjs', 'smallest.ts'], {
    cwd: join(scratch, 'smallest'), env, stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
  })
  let printed = ''
  for await (const line of createInterface({ input: child.stdout })) {
    printed += `${line}\n`
    if (curlCommandsIn(printed).length > 0) break
  }
  t.equal(await statusOf(curlCommandsIn(printed)[0]!), 200)
})
