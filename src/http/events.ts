import { AsyncResource } from 'node:async_hooks'
import type { FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import type { ContactUpdatedEvent, Settings } from '../options.js'
import { isLarge, toContact } from '../rules/contact.js'
import type { Change, UpdateContext } from '../rules/prepare-update.js'
import { Contact } from '../rules/wire-schemas.js'
import { userOf } from './auth.js'
import { logFailure } from './replies.js'

export function callBeforeCommit ({ beforeCommit }: Settings, request: FastifyRequest): UpdateContext['beforeCommit'] {
  // On SQLite it is called in a batch, which may have the async context of another request.
  const call = beforeCommit && AsyncResource.bind(beforeCommit)
  return call && ((change, connection) => call(eventOf(request, change), connection))
}

export function callOnContactUpdated ({ onContactUpdated }: Settings, request: FastifyRequest, change: Change): void {
  if (onContactUpdated === undefined) return
  new Promise((resolve) => { resolve(onContactUpdated(eventOf(request, change))) })
    .catch((error: unknown) => { logFailure(request, () => ({ err: error }), 'onContactUpdated failed') })
}

/** Keeps the event, so that both hooks get the same. */
const events = new WeakMap<Change, ContactUpdatedEvent>()

/**
 * Megabytes of JSON are parsed and compared only when a hook asks for them, because they would block the event loop. Smaller contacts
 * are parsed at once, so that a printed event shows everything.
 */
function eventOf (request: FastifyRequest, change: Change): ContactUpdatedEvent {
  const known = events.get(change)
  if (known !== undefined) return known
  const { updateId, updated, previous } = change
  let contact: Contact | undefined
  let previousContact: Contact | undefined
  let changedFields: Array<keyof Contact> | undefined
  const lazy: ContactUpdatedEvent = {
    updateId,
    get contact () { return contact ??= toContact(updated) },
    get previous () {
      const keepsFields = updated.row.custom_fields === previous.row.custom_fields
      // An update does not change channels.
      return previousContact ??= toContact(previous, keepsFields ? this.contact.customFields : undefined, this.contact.channels)
    },
    get changedFields () { return changedFields ??= compare(this.contact, this.previous) },
    user: userOf(request),
    request
  }
  const event = isLarge(updated) ? lazy : { ...lazy }
  events.set(change, event)
  return event
}

function compare (contact: Contact, previous: Contact): Array<keyof Contact> {
  return (Object.keys(Contact.properties) as Array<keyof Contact>).filter((field) =>
    field !== '_updatedAt' && !isDeepStrictEqual(contact[field], previous[field]))
}
