// Builds the executable and runs it alone, in an empty folder.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import '../helpers/children-without-tap.js'
import { skip } from '../helpers/node-sqlite.js'
import { checkDocumentationPage, waitForCurl } from './printed-curl.js'

const run = promisify(execFile)
/** Whether the executable has an addon: only if this Node.js has no node:sqlite that the plugin accepts. */
const hasAddon = skip !== false
const executable = process.platform === 'win32' ? 'omnichannel.exe' : 'omnichannel'

t.test('the executable', async (t) => {
  const folder = t.testdir({ build: {}, empty: {}, tmp: {} })
  /** The executable in a folder without any other file. */
  const alone = join(folder, 'empty', executable)
  const env = { ...process.env, TMPDIR: join(folder, 'tmp'), PATH: '' }
  await run(process.execPath, ['scripts/build-binary.js', join(folder, 'build', executable)])
  copyFileSync(join(folder, 'build', executable), alone)
  t.match(readFileSync(join(folder, 'build', `${executable}-licenses.txt`), 'utf8'), /^fastify 5.*^Permission is hereby granted/ms)

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
    t.strictSame(readdirSync(join(folder, 'empty')).sort(), [executable, 'omnichannel-demo.db'])
    t.strictSame(readdirSync(env.TMPDIR), [], 'the addon is gone')
  })

  await t.test('without an addon: needs no temporary folder', { skip: hasAddon }, async (t) => {
    const options = { cwd: join(folder, 'empty'), env: { ...env, TMPDIR: '/nowhere' } }
    await run(alone, ['user', 'add', 'ann', '--role', 'admin', '--database', 'new.db'], options)
    t.match((await run(alone, ['user', 'list', '--database', 'new.db'], options)).stdout, 'ann')
    rmSync(join(folder, 'empty', 'new.db'))
  })

  await t.test('a temporary folder that is mounted noexec, or does not exist: one sentence', { skip: !hasAddon }, async (t) => {
    const startIn = async (TMPDIR: string) => await run(alone, ['serve', '--database', 'new.db'], { cwd: join(folder, 'empty'), env: { ...env, TMPDIR } })
    const refusal = (TMPDIR: string, reason: RegExp) => {
      const escaped = TMPDIR.replace(/\W/g, '\\$&')
      const sentence = `The SQLite addon cannot be loaded from the temporary folder ${escaped} \\(.*${reason.source}.*\\): name another in the variable TMPDIR`
      return { code: 1, stdout: '', stderr: new RegExp(`^${sentence}\n$`) }
    }
    await t.rejects(startIn('/nowhere'), refusal('/nowhere', /ENOENT/))
    const noexecFolder = join(folder, 'noexec')
    mkdirSync(noexecFolder)
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'noexec', 'none', noexecFolder])
    } catch {
      return t.pass('nothing can be mounted here')
    }
    t.teardown(() => run('umount', [noexecFolder]))
    await t.rejects(startIn(noexecFolder), refusal(noexecFolder, /failed to map segment/))
    t.strictSame(readdirSync(noexecFolder), [])
    t.notOk(existsSync(join(folder, 'empty', 'new.db')))
  })

  await t.test('a folder in place of the database: one sentence, and exit code 1', async (t) => {
    mkdirSync(join(folder, 'empty', 'folder'))
    await t.rejects(run(alone, ['serve', '--database', 'folder'], { cwd: join(folder, 'empty'), env }),
      { code: 1, stdout: '', stderr: 'The database file folder is a folder\n' })
  })
})
