// What the figures depend on.

import Database from 'better-sqlite3'
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'

export function describeMachine (folder: string, packages: string[]): Record<string, string | number> {
  return {
    cpu: `${cpus()[0]?.model} (${cpus().length} cores)`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    'load average before': loadavg()[0]?.toFixed(2) ?? '',
    'file system': statfsSync(folder).type === 0x01021994 ? 'tmpfs: in memory, so that durability costs nothing here' : 'on a disk',
    'fdatasync of 4 KiB': `${medianOfSync(folder).toFixed(0)} µs (median)`,
    node: process.version,
    ...Object.fromEntries(packages.map((name) => [name, versionOf(name)]))
  }
}

export function sqliteVersion (): string {
  const database = new Database(':memory:')
  const version = database.prepare<[], string>('SELECT sqlite_version()').pluck().get() ?? ''
  database.close()
  return version
}

function versionOf (name: string): string {
  const manifest = readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** What a durable commit pays at least, in microseconds. */
function medianOfSync (folder: string): number {
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
  return times.sort((a, b) => a - b)[100] ?? NaN
}
