// The files of the documentation page, as swagger-ui makes them: packed, because they are most of the command line.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

const require = createRequire(import.meta.url)
const files = ['favicon-16x16.png', 'favicon-32x32.png', 'swagger-ui-bundle.js', 'swagger-ui.css']

/** Writes them into a new folder, and returns their names. */
export function packDocumentation(folder) {
  const pages = join(dirname(require.resolve('@fastify/swagger-ui/package.json')), 'static')
  mkdirSync(folder)
  return files.map((file) => {
    writeFileSync(join(folder, `${file}.gz`), gzipSync(readFileSync(join(pages, file)), { level: 9 }))
    return `${file}.gz`
  })
}
