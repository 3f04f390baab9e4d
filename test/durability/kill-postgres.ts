// Ends a PostgreSQL server as a power cut does: all its processes at once, and none can send anything more.

import { execFile, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export async function killServer (server: ChildProcess, dataFolder: string): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  // Each process has a process group of its own, so they are killed one by one. While the postmaster is stopped, it starts no process and
  // does not notice that one ends.
  server.kill('SIGSTOP')
  const children = (await processes()).filter(({ parent }) => parent === server.pid).map(({ pid }) => pid)
  for (const pid of children) kill(pid)
  server.kill('SIGKILL')
  await exited
  while ((await processes()).some(({ pid, state }) => children.includes(pid) && !state.startsWith('Z'))) await pause(5)
  await removeSharedMemory(dataFolder)
}

async function processes (): Promise<Array<{ pid: number, parent: number, state: string }>> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=,stat='])
  return stdout.trim().split('\n').map((line) => {
    const [pid, parent, state = ''] = line.trim().split(/ +/)
    return { pid: Number(pid), parent: Number(parent), state }
  })
}

function kill (pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has already ended.
  }
}

/** System V shared memory outlives its processes. */
async function removeSharedMemory (dataFolder: string): Promise<void> {
  // The seventh line has the key and the id of the shared memory.
  const id = readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8').split('\n')[6]?.trim().split(/ +/)[1]
  if (id !== undefined) await run('ipcrm', ['-m', id]).catch(() => undefined)
}
