// Bundles the command line: for dist/cli without the plugin and the peers, for the executable with everything.

import { build } from 'esbuild'
import { relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const sources = resolve(here, '../src')

/** Returns esbuild's list of what went in, for licenses.js. */
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

/** The command line runs the plugin that the package exports, and no copy of it: dist/cli imports its neighbours. */
export const pluginStaysOutside = {
  name: 'plugin-stays-outside',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
      const [from, to] = [resolveDir, resolve(resolveDir, path)].map((file) => relative(sources, file).split(sep).join('/'))
      if (!/^cli\b/.test(from) || /^cli\b/.test(to)) return
      return { path: `../${to}`, external: true }
    })
  }
}
