// Runs what stands in the README's blocks of code as a reader would, from the top to the bottom and all in one folder: a server
// goes on until the next one starts, and what sends requests sends them to it.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { run } from './install.js'
import { blocks, readme } from './readme.js'

const demo = 'npx fastify-omnichannel-contacts serve --demo'
const hasShell = ['sh', 'curl'].every((command) => spawnSync(command, ['--version']).error === undefined)

/** In the folder of a project that has what Install says. */
export async function runSnippets (t: Test, folder: string, tsc: string): Promise<void> {
  t.strictSame(new Set(blocks.map(({ language }) => language)), new Set(['mermaid', 'sh', 'js', 'json']), 'nothing is left out')
  t.match(readme, demo)
  for (const round of ['once', 'and once more in the same folder']) {
    await t.test(round, { skip: !hasShell && 'there is no curl here' }, async (t) => { await runAll(t, folder) })
  }
  await t.test('as strict TypeScript', async (t) => {
    const files = blocks.filter(({ language }) => language === 'js').map(({ text }, index) => {
      writeFileSync(join(folder, `${index}.mts`), text)
      return `${index}.mts`
    })
    const flags = ['--strict', '--noEmit', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023']
    t.equal(await run(process.execPath, [tsc, ...flags, ...files], folder), '')
  })
}

async function runAll (t: Test, folder: string): Promise<void> {
  const port = await freePort()
  const here = (text: string) => text.replaceAll(/(?<=127\.0\.0\.1:|port: )3000\b/g, String(port))
  let server: Server | undefined
  t.teardown(async () => { await server?.stop() })
  const serve = async (command: string, args: string[], isReady: RegExp) => {
    await server?.stop()
    server = await start(command, args, folder, port, isReady)
  }
  const request = blocks.find(({ text }) => text.includes('\ncurl '))!.text.replace(/^.*?\n(?=curl )/s, '')
  const curl = async (token: string) => JSON.parse(await run('sh', ['-c', here(request)], folder, { ...process.env, TOKEN: token })) as unknown

  let answer: unknown
  for (const [index, { language, text }] of blocks.entries()) {
    if (text.includes('npm run demo')) {
      await serve('sh', ['-c', `exec ${demo}`], /^[\w-]{43}$/)
      answer = await curl(server!.lastLine)
    } else if (language === 'json') {
      t.strictSame(withoutTimes(answer), withoutTimes(JSON.parse(text)), 'the answer of the demo is the one that is shown')
    } else if (text.includes('app.listen')) {
      writeFileSync(join(folder, 'server.mjs'), `${here(text)}\nconsole.log('ready')\n`)
      await serve(process.execPath, ['server.mjs'], /^ready$/)
      t.match(readme, 'The request above, with `TOKEN=s3cret`')
      t.match(await curl('s3cret'), { contact: { _id: 'maria', name: 'Maria Silva' }, success: true })
    } else if (language === 'js') {
      writeFileSync(join(folder, `${index}.mjs`), here(text))
      const printed = [...text.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => `${comment!}\n`)
      t.ok(printed.length > 0)
      t.equal(await run(process.execPath, [`${index}.mjs`], folder), printed.join(''))
    }
  }
}

interface Server {
  /** The last line that it printed until it was ready. */
  lastLine: string
  stop: () => Promise<void>
}

async function start (command: string, args: string[], cwd: string, port: number, isReady: RegExp): Promise<Server> {
  // In a group of its own, as npx has children.
  const child = spawn(command, args, {
    cwd, detached: true, env: { ...process.env, OMNICHANNEL_PORT: String(port) }, stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  const kill = (): void => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGTERM')
  }
  // A group is not ended with this process.
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    kill()
    await ended
  }
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (isReady.test(line)) return { lastLine: line, stop }
  }
  await stop()
  throw new Error(`${command} ${args.join(' ')} ended before it was ready:\n${lines.join('\n')}`)
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

function withoutTimes (answer: unknown): unknown {
  return JSON.parse(JSON.stringify(answer).replaceAll(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g, '"a time"'))
}
