import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'

const maxWaiting = 10_485_760 // bytes
const perRequest = 4096 // bytes, beside its body
const maxBody = 262_144 // bytes, the plugin's bodyLimit

/** Ends a connection that sends faster than it is answered. Node.js reads on, however many of its requests wait. */
export function limitPipelining (app: FastifyInstance): void {
  const waiting = new WeakMap<Socket, number>()
  const add = ({ raw: { socket } }: FastifyRequest, bytes: number): number => {
    const sum = (waiting.get(socket) ?? 0) + bytes
    waiting.set(socket, sum)
    return sum
  }
  app.addHook('onRequest', (request, _reply, done) => {
    if (add(request, sizeOf(request)) <= maxWaiting) done()
    else request.raw.socket.destroy()
  })
  app.addHook('onSend', (request, _reply, _payload, done) => {
    add(request, -sizeOf(request))
    done()
  })
}

function sizeOf ({ headers }: FastifyRequest): number {
  return perRequest + (headers['transfer-encoding'] === undefined ? Math.min(Number(headers['content-length'] ?? 0), maxBody) : maxBody)
}
