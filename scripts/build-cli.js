// Writes dist/cli, after tsc has written the plugin to dist: the command line with its libraries inside, so that users of the plugin do
// not install them.

import { readFileSync, writeFileSync } from 'node:fs'
import { bundle, pluginStaysOutside } from './bundle.js'
import { packDocumentation } from './pack-documentation.js'
import { licensesOf } from './licenses.js'

const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))

const metafile = await bundle({
  entryPoints: ['src/cli/main.ts', 'src/cli/serve/checkpoint-worker.ts'],
  outbase: 'src/cli',
  outdir: 'dist/cli',
  format: 'esm',
  // What a command needs is loaded when it runs: --help and --version load no server.
  splitting: true,
  external: Object.keys(peerDependencies),
  plugins: [pluginStaysOutside],
  // Variables that the bundled CommonJS modules expect.
  banner: {
    js: `import { createRequire as createRequireHere } from 'node:module'
const require = createRequireHere(import.meta.url)
const __dirname = import.meta.dirname`
  }
})
packDocumentation('dist/cli/documentation')
writeFileSync('dist/cli/LICENSES.txt', licensesOf(metafile))
