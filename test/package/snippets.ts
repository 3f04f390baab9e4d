// Runs the code blocks of a page, one after the other in one folder, as a reader would. A server runs until the next one starts. Blocks of
// SQL and commands that install packages are left out: other tests run them.

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
  /** A folder with the packages that the page tells its reader to install. */
  folder: string
  /** The file of TypeScript's compiler. */
  tsc: string
  /** Variables that the blocks need in the environment. */
  env?: NodeJS.ProcessEnv
  /** The answer of the page's servers to the README's request. Default: the updated contact. */
  answer?: object
}

const updatedContact = { contact: { _id: 'maria', name: 'Maria Silva' }, success: true }

const isCode = ({ language }: Block): boolean => language === 'js' || language === 'ts'
const isCommonJs = ({ text }: Block): boolean => text.includes('require(')
const serverOfReadme = readme.blocks.find(({ text }) => text.includes('app.listen'))!.text
const requestOfReadme = readme.blocks.find(({ text }) => text.startsWith('curl '))!.text
const registration = /^await app\.register\(.*\n/m

/** The program of a block. A block that only registers the plugin is put into the README's server, with the errors that it uses imported. */
function programOf (block: Block): string {
  if (block.text.includes('import ') || !registration.test(block.text)) return block.text
  const errorClasses = [...new Set(block.text.match(/\b[A-Z]\w+Error\b/g))].map((name) => `, ${name}`).join('')
  return serverOfReadme.replace(registration, block.text).replace('hashToken }', `hashToken${errorClasses} }`)
}

/** Compiles the programs of a page strictly, and runs all of its blocks, twice. */
export async function runPage (t: Test, page: Page, project: Project): Promise<void> {
  const programs = page.blocks.filter((block) => isCode(block) && !isCommonJs(block))
  for (const block of programs) writeFileSync(join(project.folder, fileOf(page, block, 'ts')), programOf(block))
  if (programs.length > 0) {
    const flags = ['--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
    const files = programs.map((block) => fileOf(page, block, 'ts'))
    t.equal(await run(process.execPath, [project.tsc, ...flags, ...files], project.folder), '', 'strict TypeScript')
  }
  for (const round of ['once', 'and once more in the same folder']) {
    await t.test(round, { skip: !hasShell && 'there is no curl here' }, async (t) => { await runBlocks(t, page, project) })
  }
}

/** The name of the block's file: .mjs or .mts, or .cjs or .cts if it is CommonJS. */
function fileOf (page: Page, block: Block, language: 'ts' | 'js'): string {
  return `${page.path.replaceAll(/\W/g, '-')}-${page.blocks.indexOf(block)}.${isCommonJs(block) ? 'c' : 'm'}${language}`
}

async function runBlocks (t: Test, page: Page, { folder, env: ownVariables, answer: expected = updatedContact }: Project): Promise<void> {
  const port = await freePort()
  const onFreePort = (text: string) => text.replaceAll(/(?<=127\.0\.0\.1:|port: )3000\b/g, String(port))
  const env = { ...process.env, ...ownVariables, OMNICHANNEL_PORT: String(port) }
  const runInShell = async (command: string): Promise<string> => await run('sh', ['-c', onFreePort(command)], folder, env)

  let server: Server | undefined
  t.teardown(async () => { await server?.stop() })
  /** The token for the README's request: that of the README, or the last one that a command has printed. */
  let token = 's3cret'
  /** The answer to the last curl command. */
  let answer: unknown

  /** Starts a server, and checks its answer to the README's request. */
  const serve = async (command: string, args: string[], readyLine: RegExp): Promise<void> => {
    await server?.stop()
    server = await start(command, args, { cwd: folder, env, readyLine })
    // The cookie is for pages whose hooks read sessions of the host.
    const curl = requestOfReadme.replace('s3cret', token).replace('curl ', "curl -sS -H 'Cookie: session=42' ")
    t.match(JSON.parse(await runInShell(curl)), expected, `${page.path}: ${args.join(' ')}`)
  }

  const serveProgram = async (file: string, source: string): Promise<void> => {
    writeFileSync(join(folder, file), `${onFreePort(source)}\nconsole.log('ready')\n`)
    await serve(process.execPath, [file], /^ready$/)
  }

  const runCommand = async (command: string): Promise<void> => {
    if (command.includes(' serve')) return await serve('sh', ['-c', `exec ${command} 2>&1`], /listening/)
    if (/^(npm|pnpm|yarn) /.test(command)) return
    const printed = await runInShell(command)
    if (command.startsWith('curl ')) answer = JSON.parse(printed) as unknown
    token = /^[\w-]{43}$/m.exec(printed)?.[0] ?? token
  }

  const runProgram = async (block: Block): Promise<void> => {
    const file = fileOf(page, block, 'js')
    const source = block.language === 'ts' ? readFileSync(join(folder, file), 'utf8') : programOf(block)
    if (source.includes('app.listen')) return await serveProgram(`run-${file}`, source)
    if (server === undefined && source.includes('127.0.0.1:3000')) await serveProgram('run-readme.mjs', serverOfReadme)
    writeFileSync(join(folder, `run-${file}`), onFreePort(source))
    // What console.log prints is in a comment behind it.
    const expectedLines = [...block.text.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => `${comment!}\n`)
    t.ok(expectedLines.length > 0)
    t.equal(await run(process.execPath, [`run-${file}`], folder), expectedLines.join(''))
  }

  for (const block of page.blocks) {
    if (block.language === 'json') t.strictSame(withoutTimes(answer), withoutTimes(JSON.parse(block.text)), 'the answer is the one that is shown')
    else if (block.language === 'sh') for (const command of commandsOf(block.text)) await runCommand(command)
    else if (isCode(block)) await runProgram(block)
  }
}

/** The commands of a block: one on each line, except that a line that ends in a backslash goes on. */
function commandsOf (text: string): string[] {
  return text.trimEnd().split(/(?<!\\)\n/)
}

interface Server {
  stop: () => Promise<void>
}

/** Starts a program. Resolves once it prints a line that matches `readyLine`. */
async function start (
  command: string, args: string[], { cwd, env, readyLine }: { cwd: string, env: NodeJS.ProcessEnv, readyLine: RegExp }
): Promise<Server> {
  // npx starts children, so the command gets a process group of its own.
  const child = spawn(command, args, { cwd, detached: true, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const kill = (): void => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGTERM')
  }
  // The process group does not end with this process.
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    kill()
    await ended
  }
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (readyLine.test(line)) return { stop }
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
