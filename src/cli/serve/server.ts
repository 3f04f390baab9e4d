// The server of `serve`: the plugin, with what a server on its own needs around it.

import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { fastify, type FastifyInstance } from 'fastify'
import omnichannelContacts from '../../index.js'
import type { Io } from '../command.js'
import type { Opened } from '../opened.js'
import { version } from '../version.js'
import { answerClientError } from './client-error.js'
import { documentOf } from './document.js'
import { logo, title } from './logo.js'

export interface ServerSettings {
  logLevel: string
  /** Calls of one address in a minute; 0: as many as it likes. */
  rateLimit: number
  /** The addresses of the reverse proxies in front. */
  trustProxy: string[]
}

// Helmet's, less what a page of one origin can do without, and less upgrade-insecure-requests: what is served is plain HTTP.
const contentSecurityPolicy = {
  'default-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
  'img-src': "'self' data:",
  'object-src': "'none'",
  'style-src': "'self' 'unsafe-inline'"
}

type Database = Pick<Opened, 'given' | 'ask'>

export async function createServer ({ given, ask }: Database, settings: ServerSettings, io: Io): Promise<FastifyInstance> {
  const app = fastify({
    logger: { level: settings.logLevel, stream: io.stderr },
    requestTimeout: 30_000,
    trustProxy: settings.trustProxy,
    clientErrorHandler: answerClientError,
    // What arrives on an open connection while the server closes is answered by the route, and not by Fastify in its own words.
    return503OnClosing: false
  })

  await app.register(swagger, documentOf({ info: { title, version } }))
  await app.register(swaggerUi, {
    routePrefix: '/documentation',
    theme: { title },
    staticCSP: contentSecurityPolicy,
    logo: { type: 'image/svg+xml', content: Buffer.from(logo) }
  })
  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/documentation'))
  app.get('/health', { schema: { hide: true } }, async (request, reply) => {
    try {
      await ask()
      return { status: 'ok' }
    } catch (error) {
      request.log.error({ err: error }, 'the database does not answer')
      return reply.code(503).send({ status: 'unavailable' })
    }
  })

  // In a context of their own, so that the limit counts calls of the API and not a browser's files.
  await app.register(async (api) => {
    if (settings.rateLimit > 0) await api.register(rateLimit, { max: settings.rateLimit, timeWindow: '1 minute' })
    await api.register(omnichannelContacts, { database: given })
  })
  return app
}
