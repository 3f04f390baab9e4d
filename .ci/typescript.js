// Loads our TypeScript in node, for tap: what the compiler makes of a file is kept until the file changes, so that seventy
// test files do not each translate the same sources. It checks no types: that is `npm run typecheck`.

import { mkdirSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { register } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { isMainThread } from 'node:worker_threads'

const root = dirname(import.meta.dirname)
const cache = join(root, 'node_modules/.cache/typescript')
const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? -Infinity
const compiler = Math.max(...[
  import.meta.filename, join(root, 'tsconfig.json'), join(root, 'node_modules/typescript/package.json')
].map(changed))

if (isMainThread) register(import.meta.url)

const kept = (file) => join(cache, `${relative(root, file)}.js`)
const isKept = (file) => changed(kept(file)) > Math.max(changed(file), compiler)

/** Translates whatever has changed, not only what is asked for now: the compiler takes half a second to load. */
async function compile(asked) {
  const { default: ts } = await import('typescript')
  const { compilerOptions } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config
  const { options } = ts.convertCompilerOptionsFromJson({ ...compilerOptions, module: 'ESNext', inlineSourceMap: true }, root)
  const files = ['src', 'scripts', 'test', 'examples', 'bench', '.ci'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).filter((name) => name.endsWith('.ts')).map((name) => join(root, folder, name)))
  for (const file of [asked, ...files].filter((file) => !isKept(file))) {
    const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), { compilerOptions: options, fileName: file })
    mkdirSync(dirname(kept(file)), { recursive: true })
    // Whole or not at all: another process may be reading.
    writeFileSync(`${kept(file)}.${process.pid}`, outputText)
    renameSync(`${kept(file)}.${process.pid}`, kept(file))
  }
}

const isOurs = (url) => url.startsWith(pathToFileURL(root).href) && url.endsWith('.ts') && !url.includes('/node_modules/')

export async function resolve(specifier, context, next) {
  if (isOurs(context.parentURL ?? '') && /^\.{1,2}\/.*\.js$/.test(specifier)) {
    const url = new URL(specifier.replace(/js$/, 'ts'), context.parentURL).href
    if (changed(fileURLToPath(url)) > 0) return { url, format: 'module', shortCircuit: true }
  }
  // As CommonJS: of their ES modules each of more than four hundred would come by here.
  if (['kysely', '@sinclair/typebox'].includes(specifier)) return await next(specifier, { ...context, conditions: ['node', 'require'] })
  return await next(specifier, context)
}

export async function load(url, context, next) {
  if (!isOurs(url)) return await next(url, context)
  const file = fileURLToPath(url)
  if (!isKept(file)) await compile(file)
  return { format: 'module', source: readFileSync(kept(file), 'utf8'), shortCircuit: true }
}
