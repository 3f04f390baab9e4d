import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { validateBody } from './body.js'
import { toContact, type StoredContact } from '../rules/contact.js'
import type { DatabaseAccess } from '../store/sqlite/sqlite-store.js'
import { userOf } from './identity.js'
import { describeOperation } from './openapi.js'
import type { Settings } from '../options.js'
import { createPatternCache } from '../rules/pattern-cache.js'
import { send, sendError } from './replies.js'
import { Contact, type UpdateContactBody } from '../rules/schemas.js'
import { updateContact } from '../rules/update-contact.js'

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
      const { contact, previous } = await access.update(function * () {
        const { updated, previous } = yield * updateContact(request.body, fits)
        // Before COMMIT: a row that cannot be shown undoes the update.
        return { contact: toContact(updated), previous }
      }, settings.lockTimeout)
      send(reply, 200, { contact, success: true })
      if (previous !== undefined) notify(settings, request, contact, previous)
      return reply
    }
  })
}

function notify ({ onContactUpdated }: Settings, request: FastifyRequest, contact: Contact, before: StoredContact): void {
  if (onContactUpdated === undefined) return
  // The commit stands, whatever the host makes of it.
  new Promise((resolve) => {
    const previous = toContact(before)
    const changedFields = (Object.keys(Contact.properties) as Array<keyof Contact>).filter((field) =>
      field !== '_updatedAt' && !isDeepStrictEqual(contact[field], previous[field]))
    resolve(onContactUpdated({ contact, previous, changedFields, user: userOf(request), request }))
  }).catch((error: unknown) => { request.log.error({ err: error }, 'onContactUpdated failed') })
}
