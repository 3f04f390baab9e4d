// What the server does with connections that Node.js and Fastify leave to it.

import type { ConnectionError, FastifyInstance, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

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

const drainTimeout = 1000 // ms

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
    const end = performance.now() + drainTimeout
    while (await countConnections() > 0 && performance.now() < end) await pause(10)
  })
}

const statuses: Record<string, number> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_CHUNK_EXTENSIONS_OVERFLOW: 413, HPE_HEADER_OVERFLOW: 431 }

/**
 * Answers what cannot be read as HTTP, which reaches no route. Fastify would log its raw bytes at level trace, and a token may be
 * among them.
 */
export function answerClientError (this: FastifyInstance, { code, message }: ConnectionError, socket: Socket): void {
  if (code === 'ECONNRESET' || socket.destroyed) return
  const status = statuses[code] ?? 400
  const text = STATUS_CODES[status] as string
  this.log.trace({ code, reason: message }, 'client error')
  const body = JSON.stringify({ success: false, error: text })
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`)
  }
  socket.destroy()
}
