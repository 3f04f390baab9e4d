import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { validateBody } from './body.js'
import type { DatabaseAccess } from './database.js'
import { callerOf } from './identity.js'
import type { Settings } from './options.js'
import { createPatternCache } from './pattern-cache.js'
import { send, sendError } from './replies.js'
import { Contact, ErrorReply, UpdateContactBody, UpdateContactReply } from './schemas.js'
import { updateContact, type ContactUpdate } from './update-contact.js'

/** The route, with its own validator, serializer and error handler instead of the host's. */
export function addRoute (app: FastifyInstance, access: DatabaseAccess, settings: Settings): void {
  const fits = createPatternCache(app.log)

  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: `${settings.prefix}/omnichannel/contacts.update`,
    bodyLimit: settings.bodyLimit,
    schema: {
      body: UpdateContactBody,
      response: { 200: UpdateContactReply, '4xx': ErrorReply, '5xx': ErrorReply }
    },
    validatorCompiler: () => validateBody,
    serializerCompiler: () => JSON.stringify,
    errorHandler: sendError,
    handler: async (request, reply) => {
      const update = await access.update(() => updateContact(request.body, fits), settings.lockTimeout)
      send(reply, 200, { contact: update.contact, success: true })
      notify(settings, request, update)
      return reply
    }
  })
}

function notify ({ onContactUpdated }: Settings, request: FastifyRequest, { contact, previous }: ContactUpdate): void {
  if (onContactUpdated === undefined || previous === undefined) return
  const changedFields = (Object.keys(Contact.properties) as Array<keyof Contact>).filter((field) =>
    field !== '_updatedAt' && !isDeepStrictEqual(contact[field], previous[field]))
  // The commit stands, whatever the host makes of it.
  new Promise((resolve) => { resolve(onContactUpdated({ contact, previous, changedFields, user: callerOf(request), request })) })
    .catch((error: unknown) => { request.log.error({ err: error }, 'onContactUpdated failed') })
}
