// Describes the machine on which the figures were measured.

import Database from 'better-sqlite3'
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { median } from './ratios.js'

/** The type that statfs returns for a file system in memory. */
const TMPFS = 0x01021994

export function describeMachine (folder: string): Record<string, string> {
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: `${cpus()[0]?.model} (${cpus().length} cores)`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    'load average before': loadavg()[0]!.toFixed(2),
    'file system': statfsSync(folder).type === TMPFS ? 'tmpfs, so durability costs nothing' : 'on a disk',
    'fdatasync of 4 KiB': `${syncTime(folder).toFixed(0)} µs`,
    node: process.version,
    ...Object.fromEntries(['better-sqlite3', 'pg', 'kysely', 'fastify', 'autocannon'].map((name) => [name, versionOf(name)])),
    sqlite: new Database(':memory:').prepare('SELECT sqlite_version()').pluck().get() as string
  }
}

function versionOf (name: string): string {
  const manifest = readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** The median time of fdatasync in microseconds. A durable commit takes at least this time. */
function syncTime (folder: string): number {
  const file = join(folder, 'fdatasync')
  const descriptor = openSync(file, 'w')
  const page = Buffer.alloc(4096, 1)
  const times = Array.from({ length: 200 }, () => {
    writeSync(descriptor, page)
    const start = performance.now()
    fdatasyncSync(descriptor)
    return (performance.now() - start) * 1000
  })
  closeSync(descriptor)
  rmSync(file)
  return median(times)
}
