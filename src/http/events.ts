import type { FastifyRequest } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { UpdateRefusedError } from '../errors.js'
import type { ContactUpdatedEvent, Settings } from '../options.js'
import { toContact } from '../rules/contact.js'
import { Contact } from '../rules/wire-schemas.js'
import type { Change, UpdateContext } from '../rules/prepare-update.js'
import { userOf } from './auth.js'

type Hooks = Pick<Settings, 'beforeCommit' | 'onContactUpdated'>

/** The host's work inside the transaction. */
export function callBeforeCommit ({ beforeCommit }: Hooks, request: FastifyRequest): UpdateContext['beforeCommit'] {
  return beforeCommit && ((change) => ({
    call: (connection: never) => {
      try {
        const result = beforeCommit(eventOf(request, change), connection)
        return isPromise(result) ? Promise.resolve(result).catch(fail) : result
      } catch (thrown) {
        return fail(thrown)
      }
    }
  }))
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined | null)?.then === 'function'
}

/** Only an UpdateRefusedError reaches the caller. Any other error is an unforeseen one, whatever its `statusCode`. */
function fail (thrown: unknown): never {
  throw thrown instanceof UpdateRefusedError ? thrown : new Error('beforeCommit failed', { cause: thrown })
}

/** Tells the host after COMMIT. */
export function callOnContactUpdated ({ onContactUpdated }: Hooks, request: FastifyRequest, change: Change): void {
  if (onContactUpdated === undefined) return
  new Promise((resolve) => { resolve(onContactUpdated(eventOf(request, change))) })
    .catch((error: unknown) => { request.log.error({ err: error }, 'onContactUpdated failed') })
}

function eventOf (request: FastifyRequest, change: Change): ContactUpdatedEvent {
  const { updateId } = change
  const { contact, previous } = contactsOf(change)
  const changedFields = (Object.keys(Contact.properties) as Array<keyof Contact>).filter((field) =>
    field !== '_updatedAt' && !isDeepStrictEqual(contact[field], previous[field]))
  return { updateId, contact, previous, changedFields, user: userOf(request), request }
}

type Contacts = Pick<ContactUpdatedEvent, 'contact' | 'previous'>

/** Both hooks get the same contacts. */
const contacts = new WeakMap<Change, Contacts>()

function contactsOf (change: Change): Contacts {
  const known = contacts.get(change)
  if (known !== undefined) return known
  const { updated, previous } = change
  const both = { contact: toContact(updated), previous: toContact(previous) }
  // Large objects are not compared member by member.
  if (updated.row.custom_fields === previous.row.custom_fields) both.previous.customFields = both.contact.customFields
  contacts.set(change, both)
  return both
}
