// node scripts/build-binary.js [FILE]
//
// Makes dist/fastify-omnichannel-contacts, one executable for this platform. It contains Node.js, the bundled program and the files of the
// documentation page. If this Node.js has no node:sqlite that the plugin accepts, it contains the addon of better-sqlite3 too. The licences
// of its parts are written into a text file beside it.
// https://nodejs.org/docs/latest-v20.x/api/single-executable-applications.html

import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.js'
import { hasNodeSqlite } from './has-node-sqlite.js'
import { packDocumentation } from './pack-documentation.js'
import { licensesOf, nodeLicense } from './licenses.js'

const require = createRequire(import.meta.url)
const here = fileURLToPath(new URL('.', import.meta.url))
const onWindows = process.platform === 'win32'
const onMac = process.platform === 'darwin'
const executable = process.argv[2] ?? join(here, '..', 'dist', `fastify-omnichannel-contacts${onWindows ? '.exe' : ''}`)

const scratch = mkdtempSync(join(tmpdir(), 'build-binary-'))
try {
  const main = join(scratch, 'main.cjs')
  const needsAddon = !hasNodeSqlite()
  const external = needsAddon ? [] : ['better-sqlite3']
  const metafile = await bundle({ entryPoints: [join(here, '../src/cli/main.ts')], outfile: main, format: 'cjs', external })
  const worker = join(scratch, 'checkpoint-worker.cjs')
  await bundle({ entryPoints: [join(here, '../src/cli/serve/checkpoint-worker.ts')], outfile: worker, format: 'cjs', external: ['better-sqlite3'] })
  const documentation = join(scratch, 'documentation')
  const blob = join(scratch, 'program.blob')
  const config = join(scratch, 'config.json')
  writeFileSync(config, JSON.stringify({
    main,
    output: blob,
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    assets: {
      'checkpoint-worker.cjs': worker,
      ...needsAddon && { 'better_sqlite3.node': findAddon() },
      ...Object.fromEntries(packDocumentation(documentation).map((name) => [`documentation/${name}`, join(documentation, name)]))
    }
  }))
  quietly(process.execPath, ['--experimental-sea-config', config])

  mkdirSync(dirname(executable), { recursive: true })
  copyFileSync(process.execPath, executable)
  chmodSync(executable, 0o755)
  // macOS runs no executable whose signature is wrong.
  if (onMac) quietly('codesign', ['--remove-signature', executable])
  quietly(process.execPath, [
    require.resolve('postject/dist/cli.js'), executable, 'NODE_SEA_BLOB', blob,
    '--sentinel-fuse', 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
    ...onMac ? ['--macho-segment-name', 'NODE_SEA'] : []
  ])
  if (onMac) quietly('codesign', ['--sign', '-', executable])
  writeFileSync(`${executable}-licenses.txt`, licensesOf(metafile, [nodeLicense()]))
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
console.log(executable)

// better-sqlite3 12 builds its addon when it is installed, 13 brings it.
function findAddon() {
  const sqlite = dirname(require.resolve('better-sqlite3/package.json'))
  return ['build/Release/better_sqlite3.node', `prebuilds/${process.platform}-${process.arch}.node`]
    .map((file) => join(sqlite, file)).find(existsSync)
}

// Runs a tool without its harmless warnings. If the tool fails, the error has all its output.
function quietly(file, args) {
  execFileSync(file, args, { stdio: 'pipe' })
}
