// Compresses the files of the documentation page, which are the largest part of the command line.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const require = createRequire(import.meta.url)
const swaggerFolder = join(dirname(require.resolve('@fastify/swagger-ui/package.json')), 'static')
const files = [
  fileURLToPath(new URL('../src/cli/serve/static/index.html', import.meta.url)),
  ...['favicon-16x16.png', 'favicon-32x32.png', 'swagger-ui-bundle.js', 'swagger-ui.css'].map((name) => join(swaggerFolder, name))
]

/** Writes the compressed files into a new folder, and returns their names. */
export function packDocumentation(folder) {
  mkdirSync(folder)
  return files.map((file) => {
    const name = `${basename(file)}.gz`
    writeFileSync(join(folder, name), gzipSync(readFileSync(file), { level: 9 }))
    return name
  })
}
