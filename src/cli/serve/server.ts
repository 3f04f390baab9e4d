// The server of `serve`: the plugin, with what a server on its own needs around it.

import swagger from '@fastify/swagger'
import { fastify, type FastifyInstance } from 'fastify'
import { sendError } from '../../http/replies.js'
import omnichannelContacts from '../../index.js'
import type { Io, Opened } from '../command.js'
import { version } from '../version.js'
import { answerClientError, drainOnClose, limitPipelining } from './connections.js'
import { addDocumentation, documentOf, title } from './documentation.js'
import { addHealth, tryToWrite } from './health.js'
import { addRateLimit } from './rate-limit.js'

export interface ServerSettings {
  logLevel: string
  /** Calls of one address in a minute; 0: as many as it likes. */
  rateLimit: number
  /** The addresses of the reverse proxies in front. */
  trustProxy: string[]
  /** 0: as many as there are. */
  maxConnections: number
}

/** In milliseconds. */
export const timeouts = {
  /** From the first byte, or from the connection on, to the end of the headers. */
  headers: 15_000,
  /** From the first byte to the end of the body. */
  request: 30_000,
  /** Without a byte read or written while an answer is due. */
  idle: 30_000,
  /** Between requests. Longer than the 60 seconds of most proxies, which would otherwise send into a connection that ends. */
  keepAlive: 72_000,
  /** How often the first two are looked at. */
  check: 2000
}

type Database = Pick<Opened, 'handle' | 'ask'>

export async function createServer (
  { handle, ask }: Database, settings: ServerSettings, io: Pick<Io, 'stderr' | 'readAsset'>, times = timeouts
): Promise<FastifyInstance> {
  const app = fastify({
    logger: { level: settings.logLevel, stream: openLog(io.stderr) },
    http: { headersTimeout: times.headers, connectionsCheckingInterval: times.check },
    requestTimeout: times.request,
    connectionTimeout: times.idle,
    keepAliveTimeout: times.keepAlive,
    trustProxy: settings.trustProxy,
    clientErrorHandler: answerClientError,
    frameworkErrors: sendError,
    // What arrives on an open connection while the server closes is answered by the route, and not by Fastify in its own words.
    return503OnClosing: false
  })
  if (settings.maxConnections > 0) {
    app.server.maxConnections = settings.maxConnections
    app.server.once('drop', () => { app.log.warn('more connections than --max-connections: those that are too many are closed') })
  }
  app.setErrorHandler(sendError)
  limitPipelining(app)
  drainOnClose(app)
  if (settings.rateLimit > 0) addRateLimit(app, settings.rateLimit)
  // Before a body is read.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) sendError({ statusCode: 404 }, request, reply)
    else done()
  })

  await app.register(swagger, documentOf({ info: { title, version } }))
  addDocumentation(app, io.readAsset)
  const noteFailure = addHealth(app, ask, () => tryToWrite(handle))
  await app.register(async (api) => {
    api.addHook('onResponse', (_request, { statusCode }, done) => {
      if (statusCode === 500 || statusCode === 503) noteFailure()
      done()
    })
    await api.register(omnichannelContacts, { database: handle })
  })
  return app
}

const maxUnread = 1_048_576 // bytes

/** Where the log goes. What its reader does not take in time is dropped, and counted. */
export function openLog (stream: Io['stderr']): { write: (line: string) => void } {
  let dropped = 0
  return {
    write (line) {
      if (stream.writableLength > maxUnread) {
        dropped++
        return
      }
      if (dropped > 0) stream.write(`{"level":40,"time":${Date.now()},"msg":"${dropped} lines of the log were dropped: nobody read them in time"}\n`)
      dropped = 0
      stream.write(line)
    }
  }
}
