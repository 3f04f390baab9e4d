#!/usr/bin/env node
// The entry of dist/cli and of the single executable. The executable has no files to load from: scripts/build-binary.js embeds them.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getAsset, isSea } from 'node:sea'
import { loadNodeSqlite } from './node-sqlite.js'
import { run } from './program.js'

const embedded = {
  // A getter, so that --help writes no file.
  get sqlite (): object { return loadAddon('better_sqlite3.node') }
}

/** The system loads an addon from a file only. The folder is private (mkdtemp makes it 0700) and is removed at once. */
function loadAddon (name: string): object {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-omnichannel-contacts-'))
  try {
    const file = join(folder, name)
    writeFileSync(file, Buffer.from(getAsset(name)), { mode: 0o600 })
    const addon = { exports: {} }
    process.dlopen(addon, file)
    return addon.exports
  } finally {
    try {
      rmSync(folder, { recursive: true, force: true })
    } catch {
      // Windows cannot remove a loaded file.
    }
  }
}

/** scripts/pack-documentation.js makes these files. */
function readAsset (name: string): Buffer {
  const file = `documentation/${name}.gz`
  return isSea() ? Buffer.from(getAsset(file)) : readFileSync(new URL(file, import.meta.url))
}

/** An executable with an addon inside cannot load it in a worker. */
const isWithAddon = isSea() && loadNodeSqlite() === undefined
const checkpointWorker = isSea() ? getAsset('checkpoint-worker.cjs', 'utf8') : new URL('serve/checkpoint-worker.js', import.meta.url)
const io = Object.assign(process, { readAsset, ...isWithAddon ? { embedded } : { checkpointWorker } })
// The executable needs CommonJS, which has no top-level await.
void run(process.argv.slice(2), io).then((code) => { process.exitCode = code })
