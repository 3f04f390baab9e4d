// Builds the executable and runs it alone, in an empty folder.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import '../helpers/children.js'
import { skip } from '../helpers/node-sqlite.js'
import { checkDocumentationPage, waitForCurl } from './printed-curl.js'

const run = promisify(execFile)
/** If this Node.js has a good node:sqlite, the executable has no addon. */
const hasAddon = skip !== false
const name = process.platform === 'win32' ? 'omnichannel.exe' : 'omnichannel'

t.test('the executable', async (t) => {
  const folder = t.testdir({ build: {}, empty: {}, tmp: {} })
  const alone = join(folder, 'empty', name)
  const env = { ...process.env, TMPDIR: join(folder, 'tmp'), PATH: '' }
  await run(process.execPath, ['scripts/build-binary.js', join(folder, 'build', name)])
  copyFileSync(join(folder, 'build', name), alone)
  t.match(readFileSync(join(folder, 'build', `${name}-licenses.txt`), 'utf8'), /^fastify 5.*^Permission is hereby granted/ms)

  await t.test('--version and --help: answer without writing a file', async (t) => {
    t.match((await run(alone, ['--version'], { env })).stdout, /^\d+\.\d+\.\d+\n$/)
    t.match((await run(alone, ['serve', '--help'], { env })).stdout, 'Usage: fastify-omnichannel-contacts serve')
    t.strictSame(readdirSync(env.TMPDIR), [])
  })

  await t.test('serve --demo: answers the printed curl, shows the page, stops on a signal', async (t) => {
    const server = spawn(alone, ['serve', '--demo', '--port', '0', '--log-level', 'warn'], { cwd: join(folder, 'empty'), env })
    t.teardown(() => server.kill('SIGKILL'))
    let err = ''
    server.stderr.on('data', (data) => { err += String(data) })
    const { origin: url, send } = await waitForCurl(server.stdout)
    const reply = await send()
    t.equal(reply.status, 200)
    t.match(await reply.json(), { success: true, contact: { _id: 'maria', customFields: { plan: 'gold' } } })
    await checkDocumentationPage(t, url)

    server.kill('SIGTERM')
    const [code] = await once(server, 'exit') as [number | null]
    t.equal(code, 0)
    t.equal(err, '')
    t.strictSame(readdirSync(join(folder, 'empty')).sort(), [name, 'omnichannel-demo.db'])
    t.strictSame(readdirSync(env.TMPDIR), [], 'the addon is gone')
  })

  await t.test('without an addon: needs no temporary folder', { skip: hasAddon }, async (t) => {
    const options = { cwd: join(folder, 'empty'), env: { ...env, TMPDIR: '/nowhere' } }
    await run(alone, ['user', 'add', 'ann', '--role', 'admin', '--database', 'new.db'], options)
    t.match((await run(alone, ['user', 'list', '--database', 'new.db'], options)).stdout, 'ann')
    rmSync(join(folder, 'empty', 'new.db'))
  })

  await t.test('a temporary folder that is mounted noexec, or does not exist: one sentence', { skip: !hasAddon }, async (t) => {
    const start = async (tmp: string) => await run(alone, ['serve', '--database', 'new.db'], { cwd: join(folder, 'empty'), env: { ...env, TMPDIR: tmp } })
    const refused = (tmp: string, reason: RegExp) => ({
      code: 1, stdout: '', stderr: new RegExp(`^The SQLite addon cannot be loaded from the temporary folder ${tmp.replace(/\W/g, '\\$&')} \\(.*${reason.source}.*\\): name another in the variable TMPDIR\n$`)
    })
    await t.rejects(start('/nowhere'), refused('/nowhere', /ENOENT/))
    const tmp = join(folder, 'noexec')
    mkdirSync(tmp)
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'noexec', 'none', tmp])
    } catch {
      return t.pass('nothing can be mounted here')
    }
    t.teardown(() => run('umount', [tmp]))
    await t.rejects(start(tmp), refused(tmp, /failed to map segment/))
    t.strictSame(readdirSync(tmp), [])
    t.notOk(existsSync(join(folder, 'empty', 'new.db')))
  })

  await t.test('a mistake: one sentence and its exit code', async (t) => {
    mkdirSync(join(folder, 'empty', 'folder'))
    await t.rejects(run(alone, ['serve', '--database', 'folder'], { cwd: join(folder, 'empty'), env }),
      { code: 1, stdout: '', stderr: 'The database file folder is a folder\n' })
  })
})
