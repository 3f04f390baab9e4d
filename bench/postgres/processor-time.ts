// The processor time of a PostgreSQL: of the postmaster, and of all its children, whether they are still there or not.

import { readdirSync, readFileSync } from 'node:fs'

const tick = 10_000 // µs

/** In microseconds, from Linux's /proc. */
export function processorTime (postmaster: number): number {
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(name)[1] === String(postmaster))
  const alive = [String(postmaster), ...children].reduce((sum, pid) => sum + Number(read(pid, 'schedstat').split(' ')[0]) / 1000, 0)
  const [cutime, cstime] = statOf(String(postmaster)).slice(13, 15)
  return alive + (Number(cutime) + Number(cstime)) * tick
}

/** What stands behind the name of the program, which may hold spaces: the state, the parent, and so on. */
function statOf (pid: string): string[] {
  return read(pid, 'stat').replace(/^.*\) /s, '').split(' ')
}

function read (pid: string, what: string): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, 'utf8')
  } catch {
    // It has ended since it was listed.
    return ''
  }
}
