#!/usr/bin/env node
// The entry of dist/cli and of the single executable, in which scripts/build-binary.js embeds all files.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getAsset, getRawAsset, isSea } from 'node:sea'
import { run } from './command-line.js'

const addon = 'better_sqlite3.node'

/** Writes the addon to a file, because the system loads it from files only. Only this user can open the folder, and it is removed at once. */
function loadAddon (): object {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-omnichannel-contacts-'))
  try {
    const file = join(folder, addon)
    writeFileSync(file, Buffer.from(getAsset(addon)))
    const module = { exports: {} }
    process.dlopen(module, file)
    return module.exports
  } finally {
    try {
      rmSync(folder, { recursive: true, force: true })
    } catch {
      // Windows cannot remove a loaded file.
    }
  }
}

/** Reads a file of the documentation page. scripts/pack-documentation.js makes these files. */
function readAsset (name: string): Buffer {
  const file = `documentation/${name}.gz`
  return isSea() ? Buffer.from(getAsset(file)) : readFileSync(new URL(file, import.meta.url))
}

function hasAddon (): boolean {
  try {
    getRawAsset(addon)
    return true
  } catch {
    return false
  }
}

// A worker thread cannot load the addon of an executable. Without a worker, SQLite makes its checkpoints on the event loop.
const addonOrWorker = isSea() && hasAddon()
  ? { loadAddon }
  : { checkpointWorker: isSea() ? getAsset('checkpoint-worker.cjs', 'utf8') : new URL('serve/checkpoint-worker.js', import.meta.url) }
// The commands use `process` with these additions.
const io = Object.assign(process, { readAsset, ...addonOrWorker })
// The single executable needs CommonJS, which has no top-level await.
void run(process.argv.slice(2), io).then((code) => { process.exitCode = code })
