// The OpenAPI document of a server of ours: that of `serve`, and openapi.json. The plugin puts its schemas into a host's document
// where they are used, because a name of its own there could be the host's already; here all names are ours.

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'

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
