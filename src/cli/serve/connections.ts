// What Node.js and Fastify lack: limits for pipelined requests and for the calls of an address, a clean close, answers to malformed HTTP.

import { normalizeIP } from '@fastify/rate-limit'
import type { ConnectionError, FastifyInstance, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { Server, type Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

const maxUnansweredBytes = 10_485_760
/** Counted for the headers of each request, which are not measured. */
const headerBytes = 4096
const maxBodyBytes = 262_144 // the plugin's bodyLimit

/** Ends a connection that sends faster than it is answered. Node.js would go on reading without a limit. */
export function limitPipelining (app: FastifyInstance): void {
  const unanswered = new WeakMap<Socket, number>()
  const add = ({ raw: { socket } }: FastifyRequest, bytes: number): number => {
    const sum = (unanswered.get(socket) ?? 0) + bytes
    unanswered.set(socket, sum)
    return sum
  }
  app.addHook('onRequest', (request, _reply, done) => {
    if (add(request, estimateBytes(request)) <= maxUnansweredBytes) done()
    else request.raw.socket.destroy()
  })
  app.addHook('onSend', (request, _reply, _payload, done) => {
    add(request, -estimateBytes(request))
    done()
  })
}

function estimateBytes ({ headers }: FastifyRequest): number {
  const bodyBytes = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : Infinity
  return headerBytes + Math.min(bodyBytes, maxBodyBytes)
}

const drainTimeoutMs = 1000
const closeTimeoutMs = 8000

/**
 * On close, refuses new connections, sends `connection: close` with the last answers and waits for clients to hang up. Closing at once
 * would reset a connection on which the next request is on its way. A client that never finishes its request does not keep the server
 * from ending.
 */
export function drainOnClose (app: FastifyInstance): void {
  let isClosing = false
  const newestRequests = new WeakMap<Socket, FastifyRequest>()

  app.addHook('onRequest', (request, _reply, done) => {
    newestRequests.set(request.raw.socket, request)
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    // While Fastify closes, it sets the header on each answer. But of several pipelined answers only the last may close the connection.
    // Remove the header only if it is set: after removeHeader, Node.js does not add its own `connection: keep-alive`.
    if (isClosing && newestRequests.get(request.raw.socket) === request) void reply.header('connection', 'close')
    else if (reply.raw.hasHeader('connection')) reply.raw.removeHeader('connection')
    done()
  })
  app.addHook('preClose', async () => {
    setTimeout(() => { app.server.closeAllConnections() }, closeTimeoutMs).unref()
    await acceptWaiting(app.server)
    isClosing = true
    // Stop listening now, so that clients cannot connect again. Fastify stops only after this hook. http.Server's own `close` would also close
    // idle connections, on which a request may be on its way.
    Server.prototype.close.call(app.server)
    const countConnections = promisify(app.server.getConnections.bind(app.server))
    const end = performance.now() + drainTimeoutMs
    while (await countConnections() > 0 && performance.now() < end) await pause(10)
  })
}

/** Accepts the connections in the system's queue, because closing would reset them. Node.js accepts one in each turn of the event loop. */
async function acceptWaiting (server: Server): Promise<void> {
  let accepted = true
  const onConnection = (): void => { accepted = true }
  server.on('connection', onConnection)
  const end = performance.now() + drainTimeoutMs
  while (accepted && performance.now() < end) {
    accepted = false
    // Twice, because the first one may come before sockets.
    await nextTurn()
    await nextTurn()
  }
  server.off('connection', onConnection)
}

const statuses: Record<string, number> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_CHUNK_EXTENSIONS_OVERFLOW: 413, HPE_HEADER_OVERFLOW: 431 }

/** Answers bytes that are not HTTP. Fastify's own handler would log the bytes at level trace, and they may hold a token. */
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

const rateWindowMs = 60_000
const maxAddresses = 10_000

const uncountedPaths = ['/health', '/metrics']

/**
 * Answers 429 if an address calls more than `max` times in a minute. Monitors are not counted. @fastify/rate-limit counts by the time of day,
 * which may be set back, and its X-RateLimit-Reset is not Rocket.Chat's.
 */
export function addRateLimit (app: FastifyInstance, max: number): void {
  /** Sorted by the newest call, the oldest first. `end` is a time of performance.now(), `reset` of Date.now(). */
  const windows = new Map<string, { calls: number, end: number, reset: number }>()

  app.addHook('onRequest', (request, reply, done) => {
    if (uncountedPaths.includes(String(request.routeOptions.url))) return done()
    const now = performance.now()
    const address = normalizeIP(request.ip)
    let window = windows.get(address)
    if (window === undefined || window.end <= now) window = { calls: 0, end: now + rateWindowMs, reset: Date.now() + rateWindowMs }
    window.calls++
    windows.delete(address)
    windows.set(address, window)
    const [longestWithoutCall = ''] = windows.keys()
    if (windows.size > maxAddresses) windows.delete(longestWithoutCall)

    void reply.headers({
      'x-ratelimit-limit': max,
      'x-ratelimit-remaining': Math.max(0, max - window.calls),
      'x-ratelimit-reset': window.reset
    })
    if (window.calls <= max) return done()
    void reply.header('retry-after', Math.ceil((window.end - now) / 1000))
    done(Object.assign(new Error('too many requests'), { statusCode: 429 }))
  })
}
