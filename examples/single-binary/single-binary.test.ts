// Follows the unit, the Dockerfile and the README beside them, with the command line in place of the binary. test/cli/binary.test.ts tests
// the binary.
//
//   npx tap examples/single-binary/single-binary.test.ts

import Database from 'better-sqlite3'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { cli, serve } from '../../test/cli/io.js'

const run = promisify(execFile)
const read = (name: string): string => readFileSync(join('examples/single-binary', name), 'utf8')
const unit = read('omnichannel-contacts.service')
const dockerfile = read('Dockerfile')
const page = read('README.md')
const all = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, found]) => found!)
const entries = (lines: string[]): Record<string, string> => Object.fromEntries(lines.map((line) => line.split('=') as [string, string]))

const scenarios: Record<string, { env: Record<string, string>, command: string, where: string, calls: string[] }> = {
  'the unit': {
    env: entries(all(unit, /^Environment=(.*)$/gm)),
    command: all(unit, /^ExecStart=\/usr\/local\/bin\/fastify-omnichannel-contacts (.*)$/gm).join(),
    where: `/var/lib/${all(unit, /^StateDirectory=(.*)$/gm).join()}/`,
    calls: all(page, /^contacts (\w.*)$/gm)
  },
  'the image': {
    env: entries(all(dockerfile, /^ENV (.*)$/gm)[0]!.split(' ')),
    command: all(dockerfile, /^CMD \["(.*)"\]$/gm)[0]!,
    where: `${all(dockerfile, /^VOLUME (.*)$/gm)[0]!}/`,
    calls: all(dockerfile, /^# +docker run --rm -v contacts:\/data contacts (.*)$/gm)
  }
}

async function follow (t: Test, { env, command, where, calls }: (typeof scenarios)[string]): Promise<void> {
  const folder = t.testdir()
  const here = (text: string): string => text.replace(where, `${folder}/`)
  const own = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, here(value)]))
  const file = own.OMNICHANNEL_DATABASE!
  t.ok(file.startsWith(folder), 'the database is where it may write')
  t.equal(command, 'serve')
  const { url, stop } = await serve(t, [], { env: own })
  let token = ''
  for (const call of calls) {
    const { code, out } = await cli(call.split(' ').map(here), { env: own })
    t.equal(code, 0, call)
    if (call.startsWith('token')) token = out.trim()
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
  for (const [, copy] of calls.map((call) => /^backup (.*)$/.exec(call) ?? [])) if (copy !== undefined) t.ok(statSync(here(copy)).size > 0)
  t.equal(await stop(), 0)
}

for (const [name, scenario] of Object.entries(scenarios)) {
  t.test(`${name}: its server works, and so do the commands for a user and a token`, async (t) => { await follow(t, scenario) })
}

t.test('the unit: systemd-analyze finds an exposure of at most 2.0', async (t) => {
  try {
    await run('systemd-analyze', ['--version'])
  } catch {
    return t.pass('there is no systemd here')
  }
  // Tenths: 2.0 of 10.
  await t.resolves(run('systemd-analyze', ['security', '--offline=true', '--threshold=20', 'examples/single-binary/omnichannel-contacts.service']))
})

t.test('variables, scripts and files: exist, and both images are used in the same way', async (t) => {
  const { out } = await cli(['serve', '--help'])
  for (const variable of all(unit + dockerfile + page, /\b(OMNICHANNEL_[A-Z_]+)/g)) t.match(out, variable)
  const { scripts, name } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string>, name: string }
  for (const script of all(dockerfile + page, /npm run ([\w:-]+)/g)) t.hasOwnProp(scripts, script)
  t.match(readFileSync('scripts/build-binary.js', 'utf8'), `'dist', \`${name}`)
  for (const path of all(page, /\bexamples\/single-binary\/([\w.-]+)/g)) t.ok(existsSync(join('examples/single-binary', basename(path))), path)
  const used = all(dockerfile, /^((?:ENV|VOLUME|EXPOSE|ENTRYPOINT|CMD) .*)$/gm)
  t.equal(used.length, 10)
  t.strictSame(used.slice(0, 5), used.slice(5))
})
