import { AsyncResource } from 'node:async_hooks'
import type { FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import type { ContactUpdatedEvent, Settings } from '../options.js'
import { isLarge, toContact } from '../rules/contact.js'
import type { Change, UpdateContext } from '../rules/prepare-update.js'
import { Contact } from '../rules/wire-schemas.js'
import { userOf } from './auth.js'
import { logFailure } from './replies.js'

export function bindBeforeCommit ({ beforeCommit }: Settings, request: FastifyRequest): UpdateContext['beforeCommit'] {
  if (beforeCommit === undefined) return undefined
  // SQLite calls the hook in a batch, which may run in the async context of another request.
  const call = AsyncResource.bind(beforeCommit)
  return (change, connection) => call(eventOf(request, change), connection)
}

export function callOnContactUpdated ({ onContactUpdated }: Settings, request: FastifyRequest, change: Change): void {
  if (onContactUpdated === undefined) return
  new Promise((resolve) => { resolve(onContactUpdated(eventOf(request, change))) })
    .catch((error: unknown) => { logFailure(request, () => ({ err: error }), 'onContactUpdated failed') })
}

/** The event of each update, so that both hooks get the same object. */
const events = new WeakMap<Change, ContactUpdatedEvent>()

/** If a contact is large, its JSON is parsed and compared only when a hook reads it, because that would block the event loop. */
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
      const keepsCustomFields = updated.row.custom_fields === previous.row.custom_fields
      // An update does not change channels.
      return previousContact ??= toContact(previous, keepsCustomFields ? this.contact.customFields : undefined, this.contact.channels)
    },
    get changedFields () { return changedFields ??= findChangedFields(this.contact, this.previous) },
    user: userOf(request),
    request
  }
  // The spread calls the getters, so that a printed event shows the values.
  const event = isLarge(updated) ? lazy : { ...lazy }
  events.set(change, event)
  return event
}

function findChangedFields (contact: Contact, previous: Contact): Array<keyof Contact> {
  return (Object.keys(Contact.properties) as Array<keyof Contact>).filter((field) =>
    field !== '_updatedAt' && !isDeepStrictEqual(contact[field], previous[field]))
}
