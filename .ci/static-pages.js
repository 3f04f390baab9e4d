// Stands in for @fastify/static where the command line is bundled: serves the files of the documentation page, which
// documentation.js has packed. Fastify has put the prefix that @fastify/static is registered with in front already.

import { readFileSync } from 'node:fs'
import { getAsset, isSea } from 'node:sea'
import { gunzipSync } from 'node:zlib'

const types = { css: 'text/css', html: 'text/html', js: 'text/javascript', png: 'image/png' }

export default async function servePages(app) {
  app.get('/:name', { schema: { hide: true } }, async (request, reply) => {
    const { name } = request.params
    const type = types[name.split('.').at(-1)]
    let packed
    try {
      packed = read(`${encodeURIComponent(name)}.gz`)
    } catch {
      return reply.callNotFound()
    }
    reply.header('vary', 'accept-encoding').type(type)
    const takesGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
    return takesGzip ? reply.header('content-encoding', 'gzip').send(packed) : reply.send(gunzipSync(packed))
  })
}

/** From the executable, or from beside the program. */
function read(file) {
  return isSea() ? Buffer.from(getAsset(`documentation/${file}`)) : readFileSync(new URL(`documentation/${file}`, import.meta.url))
}
