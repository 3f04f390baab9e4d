// The processor time of a PostgreSQL server: of the postmaster, of its children, and of the children that have ended.

import { readdirSync, readFileSync } from 'node:fs'

/** The length of a clock tick in microseconds. Linux counts the time of children that have ended in ticks. */
const TICK_US = 10_000

/** In microseconds, from Linux's /proc. */
export function processorTime (postmaster: number): number {
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && readStat(name).parent === String(postmaster))
  const runningNs = [String(postmaster), ...children].reduce((sum, pid) => sum + Number(read(pid, 'schedstat').split(' ')[0]), 0)
  const { endedUserTicks, endedSystemTicks } = readStat(String(postmaster))
  return runningNs / 1000 + (Number(endedUserTicks) + Number(endedSystemTicks)) * TICK_US
}

/** The fields ppid, cutime and cstime: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html. */
function readStat (pid: string) {
  // The third field is the first after the name of the program, which may hold spaces.
  const fieldsFromThird = read(pid, 'stat').replace(/^.*\) /s, '').split(' ')
  const field = (number: number): string | undefined => fieldsFromThird[number - 3]
  return { parent: field(4), endedUserTicks: field(16), endedSystemTicks: field(17) }
}

function read (pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    // The process has ended since it was listed.
    return ''
  }
}
