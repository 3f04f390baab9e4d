// The entry of the executable: its command line, and what it cannot load from files.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getAsset } from 'node:sea'
import { run } from '../src/cli/program.ts'

const embedded = {
  // Loaded when the first database is opened, so that --help writes no file.
  get sqlite() { return loadAddon('better_sqlite3.node') }
}

// The system loads an addon from a file only. The folder is this user's own (mkdtemp makes it 0700), and goes as
// soon as the addon is loaded; Windows keeps a loaded file, and there it stays in the folder for temporary files.
function loadAddon(name) {
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
    } catch {}
  }
}

const readAsset = (name) => Buffer.from(getAsset(`documentation/${name}.gz`))
const io = Object.assign(Object.create(process), { embedded, readAsset })
// A bundle in CommonJS, which the executable needs, cannot await here.
void run(process.argv.slice(2), io).then((code) => {
  process.exitCode = code
})
