// Runs the code blocks of a page in order and in one folder, as a reader would. A server runs until the next one starts. Other tests run
// the blocks of SQL and the commands that install packages.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { run } from './install.js'
import { readme, type Block, type Page } from './pages.js'

const hasShell = ['sh', 'curl'].every((command) => spawnSync(command, ['--version']).error === undefined)

export interface Project {
  /** Has the packages that the page tells its reader to install. */
  folder: string
  /** TypeScript's compiler. */
  tsc: string
  env?: NodeJS.ProcessEnv
  /** The answer of the page's servers to the README's request. Default: the updated contact. */
  answer?: object
}

const maria = { contact: { _id: 'maria', name: 'Maria Silva' }, success: true }

const isCode = ({ language }: Block): boolean => language === 'js' || language === 'ts'
const isCommonJs = ({ text }: Block): boolean => text.includes('require(')
const server = readme.blocks.find(({ text }) => text.includes('app.listen'))!.text
const request = readme.blocks.find(({ text }) => text.startsWith('curl '))!.text
const register = /^await app\.register\(.*\n/m

/** Completes a block that is only a part of a program: puts it into the README's server. */
function wholeOf (block: Block): string {
  if (block.text.includes('import ') || !register.test(block.text)) return block.text
  const errors = [...new Set(block.text.match(/\b[A-Z]\w+Error\b/g))].map((name) => `, ${name}`).join('')
  return server.replace(register, block.text).replace('hashToken }', `hashToken${errors} }`)
}

/** Compiles the programs of a page strictly, and runs all of its blocks, twice. */
export async function runPage (t: Test, page: Page, project: Project): Promise<void> {
  const programs = page.blocks.filter((block) => isCode(block) && !isCommonJs(block))
  for (const block of programs) writeFileSync(join(project.folder, fileOf(page, block, 'ts')), wholeOf(block))
  if (programs.length > 0) {
    const flags = ['--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
    const files = programs.map((block) => fileOf(page, block, 'ts'))
    t.equal(await run(process.execPath, [project.tsc, ...flags, ...files], project.folder), '', 'strict TypeScript')
  }
  for (const round of ['once', 'and once more in the same folder']) {
    await t.test(round, { skip: !hasShell && 'there is no curl here' }, async (t) => { await runBlocks(t, page, project) })
  }
}

function fileOf (page: Page, block: Block, language: 'ts' | 'js'): string {
  return `${page.path.replaceAll(/\W/g, '-')}-${page.blocks.indexOf(block)}.${isCommonJs(block) ? 'c' : 'm'}${language}`
}

async function runBlocks (t: Test, page: Page, { folder, env: own, answer: expected = maria }: Project): Promise<void> {
  const port = await freePort()
  const here = (text: string) => text.replaceAll(/(?<=127\.0\.0\.1:|port: )3000\b/g, String(port))
  const env = { ...process.env, ...own, OMNICHANNEL_PORT: String(port) }
  const shell = async (command: string): Promise<string> => await run('sh', ['-c', here(command)], folder, env)

  let token = 's3cret'
  let running: Server | undefined
  t.teardown(async () => { await running?.stop() })
  const serve = async (command: string, args: string[], isReady: RegExp): Promise<void> => {
    await running?.stop()
    running = await start(command, args, folder, env, isReady)
    // The cookie is for the hooks that have sessions of their own.
    const curl = request.replace('s3cret', token).replace('curl ', "curl -sS -H 'Cookie: session=42' ")
    t.match(JSON.parse(await shell(curl)), expected, `${page.path}: ${args.join(' ')}`)
  }

  const serveProgram = async (file: string, source: string): Promise<void> => {
    writeFileSync(join(folder, file), `${here(source)}\nconsole.log('ready')\n`)
    await serve(process.execPath, [file], /^ready$/)
  }

  let answer: unknown
  for (const block of page.blocks) {
    if (block.language === 'json') {
      t.strictSame(withoutTimes(answer), withoutTimes(JSON.parse(block.text)), 'the answer is the one that is shown')
    } else if (block.language === 'sh') {
      for (const command of commandsOf(block.text)) {
        if (command.includes(' serve')) {
          await serve('sh', ['-c', `exec ${command} 2>&1`], /listening/)
        } else if (!/^(npm|pnpm|yarn) /.test(command)) {
          const printed = await shell(command)
          if (command.startsWith('curl ')) answer = JSON.parse(printed) as unknown
          token = /^[\w-]{43}$/m.exec(printed)?.[0] ?? token
        }
      }
    } else if (isCode(block)) {
      const file = fileOf(page, block, 'js')
      const source = block.language === 'ts' ? readFileSync(join(folder, file), 'utf8') : wholeOf(block)
      if (source.includes('app.listen')) {
        await serveProgram(`run-${file}`, source)
      } else {
        if (running === undefined && source.includes('127.0.0.1:3000')) await serveProgram('run-readme.mjs', server)
        writeFileSync(join(folder, `run-${file}`), here(source))
        const printed = [...block.text.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => `${comment!}\n`)
        t.ok(printed.length > 0)
        t.equal(await run(process.execPath, [`run-${file}`], folder), printed.join(''))
      }
    }
  }
}

/** One command a line, unless a line ends in a backslash. */
function commandsOf (text: string): string[] {
  return text.trimEnd().split(/(?<!\\)\n/)
}

interface Server {
  stop: () => Promise<void>
}

async function start (command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv, isReady: RegExp): Promise<Server> {
  // npx starts children, so the command gets a process group of its own.
  const child = spawn(command, args, { cwd, detached: true, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const kill = (): void => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGTERM')
  }
  // The group does not end with this process.
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    kill()
    await ended
  }
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (isReady.test(line)) return { stop }
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
