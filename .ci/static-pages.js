// Stands in for @fastify/static in the executable: serves the documentation page's files from inside it.
// Fastify has put the prefix that @fastify/static is registered with in front already.

import { getAsset } from 'node:sea'

const types = {
  css: 'text/css', html: 'text/html', js: 'text/javascript', json: 'application/json', png: 'image/png', svg: 'image/svg+xml'
}

export default async function serveEmbedded(app) {
  app.get('/:name', { schema: { hide: true } }, async (request, reply) => {
    const { name } = request.params
    let content
    try {
      content = Buffer.from(getAsset(`documentation/${name}`))
    } catch {
      return reply.callNotFound()
    }
    return reply.type(types[name.split('.').at(-1)]).send(content)
  })
}
