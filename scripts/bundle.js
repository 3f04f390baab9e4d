// Bundles the command line. The bundle in dist/cli leaves out the plugin and the peers. The bundle of the executable has everything.

import { build } from 'esbuild'
import { relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const sources = resolve(here, '../src')

/** Returns esbuild's list of the bundled files, for licenses.js. */
export async function bundle(options) {
  const { metafile } = await build({
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    logLevel: 'error',
    metafile: true,
    ...options,
    plugins: [withoutYaml, ...options.plugins ?? []]
  })
  return metafile
}

/** @fastify/swagger can also write YAML, and brings a large library for it. The command line only asks for JSON. */
const withoutYaml = {
  name: 'without-yaml',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^yaml$/ }, () => ({ path: 'yaml', namespace: 'empty' }))
    onLoad({ filter: /^/, namespace: 'empty' }, () => ({ contents: 'module.exports = {}' }))
  }
}

/** The command line runs the plugin that the package exports, and no copy. So where src/cli imports a file of the plugin, the import is kept. */
export const pluginStaysOutside = {
  name: 'plugin-stays-outside',
  setup({ onResolve }) {
    const isRelative = /^\.\.?\//
    onResolve({ filter: isRelative }, ({ path, resolveDir }) => {
      const [importer, imported] = [resolveDir, resolve(resolveDir, path)].map((file) => relative(sources, file).split(sep).join('/'))
      if (!/^cli\b/.test(importer) || /^cli\b/.test(imported)) return
      return { path: `../${imported}`, external: true }
    })
  }
}
