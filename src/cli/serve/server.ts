// The server of `serve`: the plugin, with a log, limits, a health check, metrics and a documentation page.

import swagger from '@fastify/swagger'
import { fastify, type FastifyInstance } from 'fastify'
import { statSync } from 'node:fs'
import { sendError } from '../../http/replies.js'
import omnichannelContacts from '../../index.js'
import { isWal } from '../../store/sqlite/connection.js'
import { connect } from '../../store/sqlite/node-sqlite.js'
import { isFileHandle, type Io, type OpenDatabase } from '../shared.js'
import { version } from '../version.js'
import { startCheckpoints } from './checkpoints.js'
import { addRateLimit, answerClientError, drainOnClose, limitPipelining } from './connections.js'
import { addDocumentation, swaggerOptions } from './documentation.js'
import { addHealth } from './health.js'

export interface ServerSettings {
  logLevel: string
  /** Requests a minute from one address; 0 for no limit. */
  rateLimit: number
  /** 0 for no limit. */
  maxConnections: number
  trustProxy: string[]
  metrics: boolean
}

/** In milliseconds. */
export const defaultTimeouts = {
  /** From the first byte of a request to the end of its headers. Without a first byte, from the start of the connection. */
  headers: 15_000,
  /** From the first byte of a request to the end of its body. */
  request: 30_000,
  /** The longest time without a byte in either direction while an answer is due. */
  idle: 30_000,
  /** Between two requests. Most proxies reuse a connection for 60 seconds, so it must stay open for longer. */
  keepAlive: 72_000,
  /** How often `headers` and `request` are checked. */
  check: 2000
}

export async function createServer (
  database: Pick<OpenDatabase, 'handle' | 'ping'>, settings: ServerSettings, io: Pick<Io, 'stderr' | 'readAsset' | 'checkpointWorker'>, timeouts = defaultTimeouts
): Promise<FastifyInstance> {
  const { handle } = database
  const app = fastify({
    logger: { level: settings.logLevel, stream: openLog(io.stderr) },
    http: { headersTimeout: timeouts.headers, connectionsCheckingInterval: timeouts.check },
    requestTimeout: timeouts.request,
    connectionTimeout: timeouts.idle,
    keepAliveTimeout: timeouts.keepAlive,
    trustProxy: settings.trustProxy,
    clientErrorHandler: answerClientError,
    frameworkErrors: sendError,
    // While the server closes, the route still answers requests.
    return503OnClosing: false
  })
  if (settings.maxConnections > 0) {
    app.server.maxConnections = settings.maxConnections
    app.server.once('drop', () => { app.log.warn('more connections than --max-connections: new ones are closed') })
  }
  app.setErrorHandler(sendError)
  if (settings.metrics) (await import('./metrics.js')).addMetrics(app, handle)
  limitPipelining(app)
  drainOnClose(app)
  if (settings.rateLimit > 0) addRateLimit(app, settings.rateLimit)
  // An unknown path gets its 404 before the body is read.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) sendError({ statusCode: 404 }, request, reply)
    else done()
  })

  await app.register(swagger, swaggerOptions({ info: { title: 'Omnichannel contacts', version } }))
  addDocumentation(app, io.readAsset)
  const noteFailedUpdate = addHealth(app, database)
  await app.register(async (api) => {
    api.addHook('onResponse', (_request, { statusCode }, done) => {
      if (statusCode === 500 || statusCode === 503) noteFailedUpdate()
      done()
    })
    await api.register(omnichannelContacts, { database: handle })
  })
  if (isFileHandle(handle)) {
    warnIfOthersCanRead(app, handle.name)
    // A database in memory cannot use WAL mode, so it needs no checkpoints.
    if (isWal(connect(handle)) && io.checkpointWorker !== undefined) startCheckpoints(io.checkpointWorker, handle, app)
  }
  return app
}

function warnIfOthersCanRead (app: FastifyInstance, file: string): void {
  const { mode } = statSync(file, { throwIfNoEntry: false }) ?? { mode: 0 }
  if (process.platform === 'win32' || (mode & 0o077) === 0) return
  app.log.warn({ file }, 'the database file can be read by other users of this machine: chmod 600 takes that away')
}

const maxUnreadBytes = 1_048_576

/** Writes the log. If it is not read in time, lines are dropped and counted. */
export function openLog (stream: Io['stderr']): { write: (line: string) => void } {
  let dropped = 0
  return {
    write (line) {
      if (stream.writableLength > maxUnreadBytes) {
        dropped++
        return
      }
      if (dropped > 0) stream.write(`{"level":40,"time":${Date.now()},"msg":"${dropped} lines of the log were dropped: they were not read in time"}\n`)
      dropped = 0
      stream.write(line)
    }
  }
}
