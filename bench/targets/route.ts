// The route of the targets other than the plugin, as Fastify's documentation shows it: its JSON parser, its Ajv, an async hook for the caller.

import type { FastifyInstance } from 'fastify'
import { hashToken, UpdateContactBody, type Contact } from '../../src/index.js'

type Awaitable<Value> = Value | Promise<Value>

/** What a target does with its database. */
export interface Backend {
  /** Whether the user has the permission. Undefined if the token is unknown. */
  findCaller: (userId: string, hashedToken: string) => Awaitable<{ hasPermission: boolean } | undefined>
  update: (body: UpdateContactBody) => Awaitable<Contact>
}

export class Refusal extends Error {
  constructor (readonly statusCode: number, message: string) {
    super(message)
  }
}

export function addRoute (app: FastifyInstance, backend: Backend): void {
  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    schema: { body: UpdateContactBody },
    errorHandler: ({ statusCode = 500, message }, _request, reply) => {
      void reply.code(statusCode).send({ success: false, error: message })
    },
    preParsing: async ({ headers: { 'x-user-id': userId, 'x-auth-token': token } }) => {
      if (typeof userId !== 'string' || typeof token !== 'string') throw new Refusal(401, 'unauthorized')
      const caller = await backend.findCaller(userId, hashToken(token))
      if (caller === undefined) throw new Refusal(401, 'unauthorized')
      if (!caller.hasPermission) throw new Refusal(403, 'forbidden')
    },
    handler: async (request, reply) => {
      const contact = await backend.update(request.body)
      void reply.header('cache-control', 'no-store').header('pragma', 'no-cache')
      return { contact, success: true }
    }
  })
}
