import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { RequestGoneError } from '../errors.js'
import type { Settings } from '../options.js'
import { toContact, type StoredContact } from '../rules/contact.js'
import { createPatternCache } from '../rules/pattern-cache.js'
import { Contact, type UpdateContactBody } from '../rules/schemas.js'
import { unitOfWork } from '../rules/unit-of-work.js'
import type { Store } from '../store/store.js'
import { watchReply } from './awaited.js'
import { validateBody } from './body.js'
import { admit, userOf } from './identity.js'
import { describeOperation } from './openapi.js'
import { send, sendError } from './replies.js'

/** The route, with its own validator, serializer and error handler instead of the host's. */
export function addRoute (app: FastifyInstance, store: Store, settings: Settings): void {
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
      const { isAwaited, seal } = watchReply(request, reply)
      const work = { body: request.body, fits, isAwaited, admit: () => admit(request, settings) }
      try {
        const { contact, previous } = await store.update(() => unitOfWork(work), settings.lockTimeout)
        seal()
        send(reply, 200, { contact, success: true })
        if (previous !== undefined) notify(settings, request, contact, previous)
      } catch (error) {
        if (!(error instanceof RequestGoneError)) throw error
        request.log.info('contacts.update was not begun: the request has been answered, or its client is gone')
      }
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
