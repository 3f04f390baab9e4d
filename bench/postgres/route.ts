// The way in and out of the contestants that are written here: Fastify as its documentation shows it, with its own parser, its
// own Ajv and its own way of sending an object.

import type { FastifyInstance } from 'fastify'
import type { Contact, UpdateContactBody } from '../../src/rules/wire-schemas.js'
import type { Dist } from '../contestants/dist.js'

export interface Rules {
  /** Whether the user has the permission; undefined where the token is not one of theirs. */
  findCaller: (userId: string, hashedToken: string) => Promise<{ granted: boolean } | undefined>
  update: (body: UpdateContactBody) => Promise<Contact>
}

export function addRoute (app: FastifyInstance, { index, replies }: Dist, rules: Rules): void {
  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    schema: { body: index.UpdateContactBody },
    schemaErrorFormatter: (errors) => new index.InvalidParamsError(String(errors[0]?.message)),
    errorHandler: replies.sendError,
    preParsing: async ({ headers: { 'x-user-id': userId, 'x-auth-token': token } }) => {
      if (typeof userId !== 'string' || typeof token !== 'string') throw new index.UnauthorizedError()
      const caller = await rules.findCaller(userId, index.hashToken(token))
      if (caller === undefined) throw new index.UnauthorizedError()
      if (!caller.granted) throw new index.ForbiddenError()
    },
    handler: async (request, reply) => {
      const contact = await rules.update(request.body)
      void reply.header('cache-control', 'no-store').header('pragma', 'no-cache')
      return { contact, success: true }
    }
  })
}
