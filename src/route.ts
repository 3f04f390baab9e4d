import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { validateBody } from './body.js'
import { toContact } from './contact.js'
import type { DatabaseAccess } from './database.js'
import { userOf } from './identity.js'
import { describeOperation } from './operation.js'
import type { Settings } from './options.js'
import { createPatternCache } from './pattern-cache.js'
import { send, sendError } from './replies.js'
import { Contact, type UpdateContactBody } from './schemas.js'
import { updateContact, type ContactUpdate } from './update-contact.js'

/** The route, with its own validator, serializer and error handler instead of the host's. */
export function addRoute (app: FastifyInstance, access: DatabaseAccess, settings: Settings): void {
  const fits = createPatternCache(app.log)

  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: `${settings.prefix}/omnichannel/contacts.update`,
    bodyLimit: settings.bodyLimit,
    schema: describeOperation(`${app.prefix}${settings.prefix}/omnichannel/contacts.update`, settings.authenticate === undefined),
    validatorCompiler: ({ httpPart }) => httpPart === 'body' ? validateBody : () => true,
    serializerCompiler: () => JSON.stringify,
    errorHandler: sendError,
    handler: async (request, reply) => {
      const update = await access.update(() => updateContact(request.body, fits), settings.lockTimeout)
      send(reply, 200, { contact: toContact(update.updated), success: true })
      notify(settings, request, update)
      return reply
    }
  })
}

function notify ({ onContactUpdated }: Settings, request: FastifyRequest, update: ContactUpdate): void {
  if (onContactUpdated === undefined || update.previous === undefined) return
  const contact = toContact(update.updated)
  const previous = toContact(update.previous)
  const changedFields = (Object.keys(Contact.properties) as Array<keyof Contact>).filter((field) =>
    field !== '_updatedAt' && !isDeepStrictEqual(contact[field], previous[field]))
  // The commit stands, whatever the host makes of it.
  new Promise((resolve) => { resolve(onContactUpdated({ contact, previous, changedFields, user: userOf(request), request })) })
    .catch((error: unknown) => { request.log.error({ err: error }, 'onContactUpdated failed') })
}
