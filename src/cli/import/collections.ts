// The collections of Rocket.Chat that can be imported, in the order in which they are.

import type Database from 'better-sqlite3'
import { flag, list, object, text, textOrNull, timeOrNull, type Document } from './extended-json.js'
import { contacts } from './import-contacts.js'
import { prepareUpsert } from './upsert.js'

/** What became of a line; one that has nothing to do with omnichannel contacts is ignored. */
export type Outcome = 'new' | 'updated' | 'ignored'

export interface Collection {
  /** Also the name of its option. */
  name: string
  /** Rocket.Chat's name for it. */
  source: string
  /** Returns what stores one document; it throws a BadLineError before it writes anything. */
  prepare: (database: Database.Database) => (document: Document) => Outcome
}

const customFields: Collection = {
  name: 'custom-fields',
  source: 'rocketchat_livechat_custom_field',
  prepare: (database) => {
    const put = prepareUpsert(database, 'omnichannel_custom_field', ['id', 'label', 'scope', 'visibility', 'required', 'regexp'])
    return (document) => toOutcome(put([
      text(document['_id'], '_id'),
      textOrNull(document['label'], 'label') ?? '',
      // Rocket.Chat asks for the scope 'visitor' and for any visibility but 'hidden'; nothing is neither.
      textOrNull(document['scope'], 'scope') ?? '',
      textOrNull(document['visibility'], 'visibility') ?? 'visible',
      flag(document['required'], 'required', false),
      textOrNull(document['regexp'], 'regexp') ?? ''
    ]))
  }
}

const permissions: Collection = {
  name: 'permissions',
  source: 'rocketchat_permissions',
  prepare: (database) => {
    const remove = database.prepare('DELETE FROM omnichannel_role_permission WHERE permission = ?')
    const insert = database.prepare('INSERT INTO omnichannel_role_permission (permission, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
    return (document) => {
      const permission = text(document['_id'], '_id')
      const roles = list(document['roles'], 'roles').map((role) => text(role, 'roles'))
      const isNew = remove.run(permission).changes === 0
      for (const role of roles) insert.run(permission, role)
      return toOutcome(isNew)
    }
  }
}

const users: Collection = {
  name: 'users',
  source: 'users',
  prepare: (database) => {
    const putUser = prepareUpsert(database, 'omnichannel_user', ['id', 'username', 'name', 'active'])
    const removeRoles = database.prepare('DELETE FROM omnichannel_user_role WHERE user_id = ?')
    const insertRole = database.prepare('INSERT INTO omnichannel_user_role (user_id, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
    const putToken = prepareUpsert(database, 'omnichannel_auth_token', ['hashed_token', 'user_id', 'name', 'created_at'])
    return (document) => {
      const id = text(document['_id'], '_id')
      const user = [
        id,
        textOrNull(document['username'], 'username') ?? '',
        textOrNull(document['name'], 'name') ?? '',
        flag(document['active'], 'active', true)
      ]
      const roles = list(document['roles'], 'roles').map((role) => text(role, 'roles'))
      const tokens = readTokens(document)

      const isNew = putUser(user)
      removeRoles.run(id)
      for (const role of roles) insertRole.run(id, role)
      for (const { hash, name, when } of tokens) putToken([hash, id, name, when])
      return toOutcome(isNew)
    }
  }
}

/** The personal access tokens, so that API clients go on working. Sessions of browsers are not among them. */
function readTokens (user: Document): Array<{ hash: string, name: string, when: string }> {
  const { loginTokens } = object(object(user['services'], 'services')['resume'], 'services.resume')
  return list(loginTokens, 'loginTokens')
    .map((token) => object(token, 'loginTokens'))
    .filter((token) => token['type'] === 'personalAccessToken')
    .map((token) => ({
      hash: text(token['hashedToken'], 'loginTokens.hashedToken'),
      name: textOrNull(token['name'], 'loginTokens.name') ?? '',
      // Rocket.Chat's personal access tokens carry the time only since some version.
      when: timeOrNull(token['when'] ?? token['createdAt'], 'loginTokens.when') ?? new Date().toISOString()
    }))
}

const rooms: Collection = {
  name: 'rooms',
  source: 'rocketchat_room',
  prepare: (database) => {
    const put = prepareUpsert(database, 'omnichannel_room', ['id', 'contact_id', 'fname', 'updated_at'])
    return (document) => {
      const contactId = textOrNull(document['contactId'], 'contactId')
      if (document['t'] !== 'l' || contactId === null) return 'ignored'
      return toOutcome(put([text(document['_id'], '_id'), contactId, textOrNull(document['fname'], 'fname') ?? '', readUpdated(document)]))
    }
  }
}

const subscriptions = ofVisitors('subscriptions', 'rocketchat_subscription', 'omnichannel_subscription', ['name', 'fname'])
const inquiries = ofVisitors('inquiries', 'rocketchat_livechat_inquiry', 'omnichannel_inquiry', ['name'])

function ofVisitors (name: string, source: string, table: string, names: string[]): Collection {
  return {
    name,
    source,
    prepare: (database) => {
      const put = prepareUpsert(database, table, ['id', 'room_id', 'visitor_id', ...names, 'updated_at'])
      return (document) => {
        const visitorId = textOrNull(object(document['v'], 'v')['_id'], 'v._id')
        if (visitorId === null) return 'ignored'
        return toOutcome(put([
          text(document['_id'], '_id'),
          textOrNull(document['rid'], 'rid') ?? '',
          visitorId,
          ...names.map((name) => textOrNull(document[name], name) ?? ''),
          readUpdated(document)
        ]))
      }
    }
  }
}

function readUpdated (document: Document): string {
  return timeOrNull(document['_updatedAt'] ?? document['ts'], '_updatedAt') ?? new Date().toISOString()
}

function toOutcome (isNew: boolean): Outcome {
  return isNew ? 'new' : 'updated'
}

export const collections: Collection[] = [customFields, permissions, users, contacts, rooms, subscriptions, inquiries]
