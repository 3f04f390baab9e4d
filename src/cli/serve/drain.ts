import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

const patience = 1000 // ms

/**
 * Lets a server that closes say so on its last answers, with `connection: close`, before it ends connections: a client whose next request
 * is on its way would find its connection reset.
 */
export function drainOnClose (app: FastifyInstance): void {
  let isClosing = false
  const newest = new WeakMap<Socket, FastifyRequest>()

  app.addHook('onRequest', (request, _reply, done) => {
    newest.set(request.raw.socket, request)
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (isClosing) {
      // Fastify has said it to every request that came since. What was sent after this one is still to be answered.
      if (newest.get(request.raw.socket) === request) void reply.header('connection', 'close')
      else reply.raw.removeHeader('connection')
    }
    done()
  })
  // Before this, Fastify still listens.
  app.addHook('preClose', async () => {
    isClosing = true
    const countConnections = promisify(app.server.getConnections.bind(app.server))
    const end = performance.now() + patience
    while (await countConnections() > 0 && performance.now() < end) await pause(10)
  })
}
