// The processor time of a PostgreSQL server: of the postmaster, of its children, and of the children that have ended.

import { readdirSync, readFileSync } from 'node:fs'

const TICK_US = 10_000

/** In microseconds, from Linux's /proc. */
export function processorTime (postmaster: number): number {
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(name)[1] === String(postmaster))
  const running = [String(postmaster), ...children].reduce((sum, pid) => sum + Number(read(pid, 'schedstat').split(' ')[0]) / 1000, 0)
  const [userTicks, systemTicks] = statOf(String(postmaster)).slice(13, 15)
  return running + (Number(userTicks) + Number(systemTicks)) * TICK_US
}

/** The fields after the name of the program, which may hold spaces. The first are the state and the parent. */
function statOf (pid: string): string[] {
  return read(pid, 'stat').replace(/^.*\) /s, '').split(' ')
}

function read (pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    // The process has ended since it was listed.
    return ''
  }
}
