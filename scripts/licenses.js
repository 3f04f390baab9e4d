// Collects the licences of all bundled packages in one text.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const { resolve } = createRequire(import.meta.url)
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

const folderOfPackage = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/

/**
 * @param metafile esbuild's list of the bundled files
 * @param others more licences, each as `[title, text]`
 */
export function licensesOf(metafile, others = []) {
  const folders = new Set(Object.keys(metafile.inputs).flatMap((file) => folderOfPackage.exec(file) ?? []))
  // A package has one title, even if two folders hold the same version.
  const textsByTitle = new Map([...[...folders].map(packageLicense), swaggerUiLicense(), ...others])
  return [...textsByTitle]
    .sort(([title], [otherTitle]) => title < otherTitle ? -1 : 1)
    .map(([title, text]) => `${title}\n${'='.repeat(title.length)}\n\n${text.trim()}\n`)
    .join('\n\n')
}

function packageLicense(folder) {
  const { name, version, license, author } = readJson(join(folder, 'package.json'))
  const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file))
  const text = file === undefined ? `${license}, by ${author.name ?? author}` : readFileSync(join(folder, file), 'utf8')
  return [`${name} ${version} (${license})`, text]
}

/** @fastify/swagger-ui contains swagger-ui without its licence. After an update of swagger-ui, add the licence of the new version here. */
function swaggerUiLicense() {
  const version = readJson(resolve('@fastify/swagger-ui/package.json')).devDependencies['swagger-ui-dist']
  return [`swagger-ui ${version} (Apache-2.0)`, readFileSync(new URL(`swagger-ui-${version}-license.txt`, import.meta.url), 'utf8')]
}

/** Node.js from nodejs.org has its licence beside or above the executable. */
export function nodeLicense() {
  const { version, execPath } = process
  const file = ['LICENSE', '../LICENSE'].map((file) => join(dirname(execPath), file)).find(existsSync)
  const text = file === undefined ? `https://github.com/nodejs/node/blob/${version}/LICENSE` : readFileSync(file, 'utf8')
  return [`Node.js ${version}`, text]
}
