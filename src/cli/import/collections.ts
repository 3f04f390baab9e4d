// The collections of Rocket.Chat that can be imported, in the order in which they are.

import { prepareUpsert, sources, type Collection, type Outcome } from './collection.js'
import { flag, idOf, list, object, text, textOrNull, timeOrNull, type Document } from './extended-json.js'
import { contacts } from './import-contacts.js'
import { users } from './import-users.js'

const customFields: Collection = {
  name: 'custom-fields',
  source: sources['custom-fields'],
  prepare: (database, warn) => {
    const put = prepareUpsert(database, 'omnichannel_custom_field', ['id', 'label', 'scope', 'visibility', 'required', 'regexp'])
    return (document) => {
      const id = idOf(document)
      const regexp = textOrNull(document.regexp, 'regexp') ?? ''
      const isNew = put([
        id,
        textOrNull(document.label, 'label') ?? '',
        // Rocket.Chat asks for the scope 'visitor' and for any visibility but 'hidden'; nothing is neither.
        textOrNull(document.scope, 'scope') ?? '',
        textOrNull(document.visibility, 'visibility') ?? 'visible',
        flag(document.required, 'required', false),
        regexp
      ])
      const problem = problemOf(regexp)
      if (problem !== undefined) warn(`the pattern ${regexp} of the custom field ${id} fits no value: ${problem}`)
      return toOutcome(isNew)
    }
  }
}

/** Why a pattern never fits, so that every update with a value for its field is refused. */
function problemOf (regexp: string): string | undefined {
  if (/^\/\^|\$\/[a-z]*$/.test(regexp)) return 'the slashes around it are taken for a part of it'
  try {
    RegExp(regexp)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

const permissions: Collection = {
  name: 'permissions',
  source: sources.permissions,
  prepare: (database) => {
    const remove = database.prepare('DELETE FROM omnichannel_role_permission WHERE permission = ?')
    const insert = database.prepare('INSERT INTO omnichannel_role_permission (permission, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
    return (document) => {
      const permission = idOf(document)
      const roles = list(document.roles, 'roles').map((role) => text(role, 'roles'))
      const isNew = remove.run(permission).changes === 0
      for (const role of roles) insert.run(permission, role)
      return toOutcome(isNew)
    }
  }
}

const rooms: Collection = {
  name: 'rooms',
  source: sources.rooms,
  wanted: "omnichannel rooms (t: 'l' with a contactId)",
  prepare: (database) => {
    const put = prepareUpsert(database, 'omnichannel_room', ['id', 'contact_id', 'fname', 'updated_at'])
    return (document) => {
      const id = idOf(document)
      const contactId = textOrNull(document.contactId, 'contactId')
      if (document.t !== 'l' || contactId === null) return 'ignored'
      return toOutcome(put([id, contactId, textOrNull(document.fname, 'fname') ?? '', readUpdated(document)]))
    }
  }
}

const subscriptions = ofVisitors('subscriptions', sources.subscriptions, 'omnichannel_subscription', ['name', 'fname'])
const inquiries = ofVisitors('inquiries', sources.inquiries, 'omnichannel_inquiry', ['name'])

function ofVisitors (name: string, source: string, table: string, names: string[]): Collection {
  return {
    name,
    source,
    wanted: `${name} of omnichannel rooms (with a visitor's v._id)`,
    prepare: (database) => {
      const put = prepareUpsert(database, table, ['id', 'room_id', 'visitor_id', ...names, 'updated_at'])
      return (document) => {
        const id = idOf(document)
        const visitorId = textOrNull(object(document.v, 'v')._id, 'v._id')
        if (visitorId === null) return 'ignored'
        return toOutcome(put([
          id,
          textOrNull(document.rid, 'rid') ?? '',
          visitorId,
          ...names.map((name) => textOrNull(document[name], name) ?? ''),
          readUpdated(document)
        ]))
      }
    }
  }
}

function readUpdated (document: Document): string {
  return timeOrNull(document._updatedAt ?? document.ts, '_updatedAt') ?? new Date().toISOString()
}

function toOutcome (isNew: boolean): Outcome {
  return isNew ? 'new' : 'updated'
}

export const collections: Collection[] = [customFields, permissions, users, contacts, rooms, subscriptions, inquiries]
