// The documentation page: swagger-ui with the OpenAPI document of this server. Each file is read once, and all answers share its bytes.
// @fastify/static would open a file for each request, and the single executable has no files.

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Io } from '../shared.js'

const javascript = 'text/javascript; charset=utf-8'
const swaggerFiles = {
  'favicon-16x16.png': 'image/png',
  'favicon-32x32.png': 'image/png',
  'swagger-ui-bundle.js': javascript,
  'swagger-ui.css': 'text/css; charset=utf-8'
}
const initializer = "SwaggerUIBundle({ dom_id: '#swagger-ui', url: '/documentation/json', deepLinking: true, validatorUrl: null })\n"

// Helmet's policy, without upgrade-insecure-requests (the server speaks plain HTTP) and with one origin only.
const contentSecurityPolicy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self' data:; " +
  "object-src 'none'; style-src 'self' 'unsafe-inline'"

/** @param readAsset reads what scripts/pack-documentation.js has packed */
export function addDocumentation (app: FastifyInstance, readAsset: Io['readAsset']): void {
  const addPage = (url: string, type: string, cacheControl: string, pack: () => Buffer): void => {
    let page: ReturnType<typeof createPage> | undefined
    app.get(url, { schema: { hide: true } }, ({ headers }, reply) => {
      const { tag, packed, plain } = page ??= createPage(pack())
      void reply.type(type).headers({
        'cache-control': cacheControl, 'content-security-policy': contentSecurityPolicy, vary: 'accept-encoding', etag: tag
      })
      if (headers['if-none-match']?.includes(tag) === true) return reply.code(304).send()
      if (acceptsGzip(headers['accept-encoding'] ?? '')) return reply.header('content-encoding', 'gzip').send(packed)
      return reply.send(plain)
    })
  }

  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/documentation'))
  for (const url of ['/documentation', '/documentation/']) addPage(url, 'text/html; charset=utf-8', 'no-cache', () => readAsset('index.html'))
  addPage('/documentation/json', 'application/json; charset=utf-8', 'no-cache', () => gzipSync(JSON.stringify(app.swagger())))
  addPage('/documentation/static/swagger-initializer.js', javascript, 'no-cache', () => gzipSync(initializer))
  for (const [file, type] of Object.entries(swaggerFiles)) {
    addPage(`/documentation/static/${file}`, type, 'public, max-age=3600', () => readAsset(file))
  }
}

/** The tag is weak, because it is the same for the packed and the plain form. */
function createPage (packed: Buffer) {
  return { packed, plain: gunzipSync(packed), tag: `W/"${createHash('sha256').update(packed).digest('base64url')}"` }
}

/** RFC 9110, section 12.5.3. */
function acceptsGzip (header: string): boolean {
  const weights = new Map(header.toLowerCase().split(',').map((part) => {
    const [coding = '', weight = 'q=1'] = part.split(';').map((text) => text.trim())
    return [coding, Number(weight.replace('q=', ''))]
  }))
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}

type OpenApiDocument = Extract<ReturnType<NonNullable<FastifyDynamicSwaggerOptions['transformObject']>>, { openapi?: string }>

/** Options of @fastify/swagger for `serve` and openapi.json. Schemas become components, whose names a host may already use itself. */
export function swaggerOptions (info: NonNullable<FastifyDynamicSwaggerOptions['openapi']>): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      ...info,
      tags: [{ name: 'Omnichannel', description: 'Contacts of the live chat and its other channels' }],
      // The credentials are here and not in the operation, so that a server with other credentials has one place to replace.
      components: {
        securitySchemes: {
          userId: { type: 'apiKey', in: 'header', name: 'X-User-Id', description: 'Id of the calling user' },
          authToken: { type: 'apiKey', in: 'header', name: 'X-Auth-Token', description: "That user's token" }
        }
      },
      security: [{ userId: [], authToken: [] }]
    },
    transformObject: (described) => nameSchemas((described as { openapiObject: OpenApiDocument }).openapiObject)
  }
}

/** Moves each schema with a title to the components, and puts a reference in its place. */
function nameSchemas ({ components, paths, ...rest }: OpenApiDocument): OpenApiDocument {
  const schemas: Record<string, object> = {}
  const named = JSON.parse(JSON.stringify(paths), (_key, value: Record<string, unknown> | null) => {
    if (typeof value?.title !== 'string') return value
    const { title, ...schema } = value
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }) as OpenApiDocument['paths']
  return { ...rest, paths: named, components: { ...components, schemas } } as OpenApiDocument
}
