// The documentation page: swagger-ui with the OpenAPI document of this server. Each file is read once, and all answers share its bytes.
// Not with @fastify/static: it opens a file for each request, and the single binary has none to open.

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Io } from '../command.js'

export const title = 'Omnichannel contacts'

/** As wide as it says, in whatever font a browser has. */
const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="260" height="40" viewBox="0 0 260 40">
<text y="27" font-family="sans-serif" font-size="22" font-weight="bold" fill="#fff" textLength="260" lengthAdjust="spacingAndGlyphs">${title}</text>
</svg>`

const html = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<title>${title}</title>
<link rel="stylesheet" href="/documentation/static/swagger-ui.css">
<link rel="icon" type="image/png" href="/documentation/static/favicon-32x32.png" sizes="32x32">
<link rel="icon" type="image/png" href="/documentation/static/favicon-16x16.png" sizes="16x16">
<style>body { margin: 0; background: #fafafa }</style>
</head>
<body>
<div class="swagger-ui"><div class="topbar"><div class="wrapper">
<img alt="${title}" src="data:image/svg+xml;base64,${Buffer.from(logo).toString('base64')}">
</div></div></div>
<div id="swagger-ui"></div>
<script src="/documentation/static/swagger-ui-bundle.js"></script>
<script src="/documentation/static/swagger-initializer.js"></script>
</body>
</html>
`

const script = "SwaggerUIBundle({ dom_id: '#swagger-ui', url: '/documentation/json', deepLinking: true, validatorUrl: null })\n"

const javascript = 'text/javascript; charset=utf-8'
const files = {
  'favicon-16x16.png': 'image/png',
  'favicon-32x32.png': 'image/png',
  'swagger-ui-bundle.js': javascript,
  'swagger-ui.css': 'text/css; charset=utf-8'
}

// Helmet's, less what a page of one origin can do without, and less upgrade-insecure-requests: what is served is plain HTTP.
const contentSecurityPolicy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self' data:; " +
  "object-src 'none'; style-src 'self' 'unsafe-inline'"

export function addDocumentation (app: FastifyInstance, readAsset: Io['readAsset']): void {
  const addPage = (url: string, type: string, cacheControl: string, pack: () => Buffer): void => {
    let page: Page | undefined
    const headers = { 'cache-control': cacheControl, 'content-security-policy': contentSecurityPolicy, vary: 'accept-encoding' }
    app.get(url, { schema: { hide: true } }, (request, reply) => {
      page ??= new Page(pack())
      send(page, request, reply.type(type).headers(headers))
    })
  }

  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/documentation'))
  for (const url of ['/documentation', '/documentation/']) addPage(url, 'text/html; charset=utf-8', 'no-cache', () => gzipSync(html))
  addPage('/documentation/json', 'application/json; charset=utf-8', 'no-cache', () => gzipSync(JSON.stringify(app.swagger())))
  addPage('/documentation/static/swagger-initializer.js', javascript, 'no-cache', () => gzipSync(script))
  for (const [file, type] of Object.entries(files)) {
    addPage(`/documentation/static/${file}`, type, 'public, max-age=3600', () => readAsset(file))
  }
}

class Page {
  /** Weak, because it stands for the packed and the plain form. */
  readonly tag: string
  #plain: Buffer | undefined

  constructor (readonly packed: Buffer) {
    this.tag = `W/"${createHash('sha256').update(packed).digest('base64url')}"`
  }

  get plain (): Buffer {
    return this.#plain ??= gunzipSync(this.packed)
  }
}

function send (page: Page, { headers }: FastifyRequest, reply: FastifyReply): void {
  void reply.header('etag', page.tag)
  if (headers['if-none-match']?.includes(page.tag) === true) void reply.code(304).send()
  else if (acceptsGzip(headers['accept-encoding'] ?? '')) void reply.header('content-encoding', 'gzip').send(page.packed)
  else void reply.send(page.plain)
}

/** RFC 9110, section 12.5.3. */
function acceptsGzip (header: string): boolean {
  const weights = new Map(header.toLowerCase().split(',').map((part) => {
    const [coding = '', weight = 'q=1'] = part.split(';').map((text) => text.trim())
    return [coding, Number(weight.replace('q=', ''))]
  }))
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}

// The OpenAPI document of a server of ours: that of `serve`, and openapi.json. The plugin puts its schemas into a host's document
// where they are used, because a name of its own there could be the host's already; here all names are ours.

type Document = Extract<ReturnType<NonNullable<FastifyDynamicSwaggerOptions['transformObject']>>, { openapi?: string }>

/** What @fastify/swagger is registered with; `more` says whose document it is. */
export function documentOf (more: NonNullable<FastifyDynamicSwaggerOptions['openapi']>): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      ...more,
      tags: [{ name: 'Omnichannel', description: 'Contacts of the live chat and its other channels' }],
      // In one place and not among the parameters of the operation, so that whoever knows callers by other means replaces them here.
      components: {
        securitySchemes: {
          userId: { type: 'apiKey', in: 'header', name: 'X-User-Id', description: 'Id of the calling user' },
          authToken: { type: 'apiKey', in: 'header', name: 'X-Auth-Token', description: "That user's token" }
        }
      },
      security: [{ userId: [], authToken: [] }]
    },
    transformObject: (described) => nameSchemas((described as { openapiObject: Document }).openapiObject)
  }
}

/** Moves every schema that has a title to the components, and refers to it. */
function nameSchemas (document: Document): Document {
  const schemas: Record<string, object> = {}
  const name = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(name)
    if (typeof value !== 'object' || value === null) return value
    const { title, ...rest } = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, key === 'examples' ? inner : name(inner)]))
    if (typeof title !== 'string') return rest
    schemas[title] = rest
    return { $ref: `#/components/schemas/${title}` }
  }
  const { components, paths, ...rest } = document
  return { ...rest, paths: name(paths), components: { ...components, schemas } } as Document
}
