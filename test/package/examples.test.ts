import Database from 'better-sqlite3'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { addAccount } from '../../examples/own-users.js'
import { fill, as, path } from '../build.js'
import '../children.js'

/** Starts an example in an empty folder; resolves to where it listens. */
async function start (t: Test, example: string, folder: string): Promise<string> {
  const child = spawn(process.execPath, ['--import', resolve('.ci/typescript.js'), resolve('examples', example)], {
    cwd: folder, env: { ...process.env, PORT: '0', NODE_ENV: 'production' }, stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /http:\/\/(?:127\.0\.0\.1|\[::1\]):\d+/.exec(line)?.[0]
    if (address !== undefined) return address
  }
  throw new Error(`${example} ended before it listened`)
}

async function post (url: string, headers: Record<string, string>, body: object): Promise<Response> {
  return await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
}

void t.test('smallest: it makes its database and serves the route', async (t) => {
  const folder = t.testdir()
  const address = await start(t, 'smallest.ts', folder)
  const database = new Database(join(folder, 'contacts.db'))
  t.teardown(() => { database.close() })
  fill(database)
  const reply = await post(address + path, as('ann'), { contactId: 'maria', name: 'Maria B.' })
  t.equal(reply.status, 200)
  t.match(await reply.json(), { contact: { _id: 'maria', name: 'Maria B.' }, success: true })
  t.equal(database.prepare('SELECT name FROM omnichannel_contact WHERE id = ?').pluck().get('maria'), 'Maria B.')
})

void t.test("own-users: started by itself, the host's login opens the route", async (t) => {
  const folder = t.testdir()
  const address = await start(t, 'own-users.ts', folder)
  const database = new Database(join(folder, 'desk.db'))
  t.teardown(() => { database.close() })
  addAccount(database, 'olga', 'open sesame', true)
  database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  const login = await post(`${address}/login`, {}, { login: 'olga', password: 'open sesame' })
  const cookie = login.headers.get('set-cookie')!.split(';')[0]!
  t.equal((await post(address + path, { cookie }, { contactId: 'maria', name: 'Maria B.' })).status, 200)
  t.equal((await post(address + path, {}, { contactId: 'maria', name: 'Mallory' })).status, 401)
})

const ann = { 'x-user-id': 'ann', 'x-auth-token': 's3cret' }

void t.test('history: started by itself, what it says to try works', async (t) => {
  const address = await start(t, 'history.ts', t.testdir())
  t.match(await (await post(address + path, ann, { contactId: 'maria', name: 'Maria Silva' })).json(), { contact: { name: 'Maria Silva' } })
  const undone = await fetch(`${address}/history/1/undo`, { method: 'POST', headers: ann })
  t.match(await undone.json(), { contact: { name: 'Maria' }, success: true })
})

void t.test('duplicates: started by itself, what it says to try is refused', async (t) => {
  const address = await start(t, 'duplicates.ts', t.testdir())
  const reply = await post(address + path, ann, { contactId: 'joao', emails: ['Maria@Example.com'] })
  t.strictSame([reply.status, await reply.json()], [400, { success: false, error: 'error-duplicate-email' }])
})

void t.test('outbox: started by itself, what it says to try works', async (t) => {
  const folder = t.testdir()
  const address = await start(t, 'outbox.ts', folder)
  t.equal((await post(address + path, ann, { contactId: 'maria', name: 'Maria Silva' })).status, 200)
  const database = new Database(join(folder, 'outbox.db'), { readonly: true })
  t.teardown(() => { database.close() })
  t.equal(database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").pluck().get(), 1)
})

void t.test('history, outbox and duplicates: under sixty lines of host code each', async (t) => {
  for (const example of ['history', 'outbox', 'duplicates']) {
    const [host] = readFileSync(`examples/${example}.ts`, 'utf8').split('\nif (process.argv[1]')
    const lines = host!.split('\n').filter((line) => line.trim() !== '' && !/^ *(\/\/|\/\*\*)/.test(line))
    t.ok(lines.length < 60, `${example}: ${lines.length}`)
  }
})

void t.test('every example imports the package by its name, says how it is run, and is in the list', async (t) => {
  const list = readFileSync('examples/README.md', 'utf8')
  for (const file of readdirSync('examples').filter((file) => file.endsWith('.ts'))) {
    const text = readFileSync(join('examples', file), 'utf8')
    t.match(text, `npx ${file.endsWith('.test.ts') ? 'tap' : 'tsx'} examples/${file}`, file)
    t.notMatch(text, '../src', file)
    t.match(list, `(${file})`, file)
  }
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  for (const [, script] of list.matchAll(/npm run ([\w:-]+)/g)) t.hasOwnProp(scripts, script!)
  for (const [, link] of list.matchAll(/\]\(([^)#:]+)\)/g)) t.ok(existsSync(join('examples', link!)), link!)
})
