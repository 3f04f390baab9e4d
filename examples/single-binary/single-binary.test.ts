// Does what the systemd unit, the Dockerfile and the README beside this file say, with the command line in place of the executable.
// test/cli/binary.test.ts tests the executable.
//
//   npx tap examples/single-binary/single-binary.test.ts

import Database from 'better-sqlite3'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { cli, serve } from '../../test/cli/run-cli.js'

const run = promisify(execFile)
const read = (name: string): string => readFileSync(join('examples/single-binary', name), 'utf8')
const unit = read('omnichannel-contacts.service')
const dockerfile = read('Dockerfile')
const readme = read('README.md')
/** The first group of each match of a pattern. */
const findAll = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, group]) => group!)
/** Variables that are written as `NAME=value`. */
const toVariables = (lines: string[]): Record<string, string> => Object.fromEntries(lines.map((line) => line.split('=') as [string, string]))

interface Scenario {
  /** The environment of the server. */
  env: Record<string, string>
  /** The command of the server. */
  command: string
  /** The folder into which the server may write. */
  dataFolder: string
  /** The commands that a user runs beside the server. */
  userCommands: string[]
}

const scenarios: Record<string, Scenario> = {
  'the systemd unit': {
    env: toVariables(findAll(unit, /^Environment=(.*)$/gm)),
    command: findAll(unit, /^ExecStart=\/usr\/local\/bin\/fastify-omnichannel-contacts (.*)$/gm).join(),
    dataFolder: `/var/lib/${findAll(unit, /^StateDirectory=(.*)$/gm).join()}/`,
    userCommands: findAll(readme, /^contacts (\w.*)$/gm)
  },
  'the container image': {
    env: toVariables(findAll(dockerfile, /^ENV (.*)$/gm)[0]!.split(' ')),
    command: findAll(dockerfile, /^CMD \["(.*)"\]$/gm)[0]!,
    dataFolder: `${findAll(dockerfile, /^VOLUME (.*)$/gm)[0]!}/`,
    userCommands: findAll(dockerfile, /^# +docker run --rm -v contacts:\/data contacts (.*)$/gm)
  }
}

/** Starts the server, runs the commands of a user, and updates a contact. All files are in a folder of the test. */
async function checkScenario (t: Test, { env: documentedEnv, command, dataFolder, userCommands }: Scenario): Promise<void> {
  const folder = t.testdir()
  const inTestFolder = (text: string): string => text.replace(dataFolder, `${folder}/`)
  const env = Object.fromEntries(Object.entries(documentedEnv).map(([name, value]) => [name, inTestFolder(value)]))
  const file = env.OMNICHANNEL_DATABASE!
  t.ok(file.startsWith(folder), 'the database is where it may write')
  t.equal(command, 'serve')
  const { url, stop } = await serve(t, [], { env })
  let token = ''
  for (const userCommand of userCommands) {
    const { code, out } = await cli(userCommand.split(' ').map(inTestFolder), { env })
    t.equal(code, 0, userCommand)
    if (userCommand.startsWith('token')) token = out.trim()
  }
  const database = new Database(file)
  t.teardown(() => { database.close() })
  database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  const reply = await fetch(`${url}/api/v1/omnichannel/contacts.update`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-user-id': 'ann', 'x-auth-token': token },
    body: '{"contactId":"maria","name":"Maria Silva"}'
  })
  t.equal(reply.status, 200)
  t.strictSame(database.prepare('SELECT name FROM omnichannel_contact').pluck().all(), ['Maria Silva'])
  t.match(await (await fetch(`${url}/health`)).json(), { status: 'ok' })
  for (const copy of findAll(userCommands.join('\n'), /^backup (.*)$/gm)) t.ok(statSync(inTestFolder(copy)).size > 0)
  t.equal(await stop(), 0)
}

for (const [name, scenario] of Object.entries(scenarios)) {
  t.test(`${name}: its server works, and so do the commands beside it`, async (t) => { await checkScenario(t, scenario) })
}

t.test('the systemd unit: systemd-analyze finds an exposure of at most 2.0', async (t) => {
  try {
    await run('systemd-analyze', ['--version'])
  } catch {
    return t.pass('there is no systemd here')
  }
  // A threshold of 20 means an exposure of 2.0. The highest exposure is 10.
  await t.resolves(run('systemd-analyze', ['security', '--offline=true', '--threshold=20', 'examples/single-binary/omnichannel-contacts.service']))
})

t.test('the variables, npm scripts and files in the unit, the Dockerfile and the README: exist', async (t) => {
  const { out } = await cli(['serve', '--help'])
  for (const variable of findAll(unit + dockerfile + readme, /\b(OMNICHANNEL_[A-Z_]+)/g)) t.match(out, variable)
  const { scripts, name } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string>, name: string }
  for (const script of findAll(dockerfile + readme, /npm run ([\w:-]+)/g)) t.hasOwnProp(scripts, script)
  // The path of the executable, as scripts/build-binary.js joins it.
  t.match(readFileSync('scripts/build-binary.js', 'utf8'), `'dist', \`${name}`, 'the file that the README names')
  for (const path of findAll(readme, /\bexamples\/single-binary\/([\w.-]+)/g)) t.ok(existsSync(join('examples/single-binary', basename(path))), path)
})

t.test('the images from npm and from a clone: run in the same way', async (t) => {
  const instructions = findAll(dockerfile, /^((?:ENV|VOLUME|EXPOSE|ENTRYPOINT|CMD) .*)$/gm)
  // Five for each image.
  t.equal(instructions.length, 10)
  t.strictSame(instructions.slice(0, 5), instructions.slice(5))
})
