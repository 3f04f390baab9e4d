// The entry of the single executable, which has no files to load from: scripts/build-binary.js embeds them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getAsset } from 'node:sea'
import { run } from './program.js'

const embedded = {
  // A getter, so that --help writes no file.
  get sqlite (): object { return loadAddon('better_sqlite3.node') }
}

/**
 * Loads an addon by way of a temporary file, because the system loads one from a file only. The folder is private (mkdtemp makes it
 * 0700). It is removed at once, but on Windows, where a loaded file cannot be.
 */
function loadAddon (name: string): object {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-omnichannel-contacts-'))
  try {
    const file = join(folder, name)
    writeFileSync(file, readAsset(name), { mode: 0o600 })
    const addon = { exports: {} }
    process.dlopen(addon, file)
    return addon.exports
  } finally {
    try {
      rmSync(folder, { recursive: true, force: true })
    } catch {}
  }
}

function readAsset (name: string): Buffer {
  return Buffer.from(getAsset(name))
}

const io = Object.assign(Object.create(process) as NodeJS.Process, {
  embedded, readAsset: (name: string) => readAsset(`documentation/${name}.gz`)
})
// The executable needs CommonJS, which has no top-level await.
void run(process.argv.slice(2), io).then((code) => { process.exitCode = code })
