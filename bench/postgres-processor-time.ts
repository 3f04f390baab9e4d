// The processor time of a PostgreSQL server: of the postmaster, of its children, and of the children that have ended.

import { readdirSync, readFileSync } from 'node:fs'

/** The microseconds of a clock tick, in which Linux counts the time of children that have ended. */
const TICK_US = 10_000

/** In microseconds, from Linux's /proc: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html. */
export function processorTime (postmaster: number): number {
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(name)[1] === String(postmaster))
  const runningNs = [String(postmaster), ...children].reduce((sum, pid) => sum + Number(read(pid, 'schedstat').split(' ')[0]), 0)
  const [endedUserTicks, endedSystemTicks] = statOf(String(postmaster)).slice(13, 15)
  return runningNs / 1000 + (Number(endedUserTicks) + Number(endedSystemTicks)) * TICK_US
}

/** The fields after the name of the program, which may hold spaces. The first two are the state and the parent. */
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
