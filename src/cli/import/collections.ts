// How each collection of Rocket.Chat is stored. A document is read as a whole before anything of it is written.

import type Database from 'better-sqlite3'
import { prepareUpsert, type Collection } from './collection.js'
import { flag, idOf, list, object, text, textOrNull, timeOrNull, type Document } from './extended-json.js'
import { contacts } from './import-contacts.js'

const customFields: Collection = {
  name: 'custom-fields',
  prepare: (database, warn) => {
    const put = prepareUpsert(database, 'omnichannel_custom_field', ['id', 'label', 'scope', 'visibility', 'required', 'regexp'])
    return (document) => {
      const id = idOf(document)
      const regexp = textOrNull(document.regexp, 'regexp') ?? ''
      const outcome = put([
        id,
        textOrNull(document.label, 'label') ?? '',
        // Rocket.Chat wants the scope 'visitor' and any visibility but 'hidden', so a missing scope is another one.
        textOrNull(document.scope, 'scope') ?? '',
        textOrNull(document.visibility, 'visibility') ?? 'visible',
        flag(document.required, 'required', false),
        regexp
      ])
      const problem = problemOf(regexp)
      if (problem !== undefined) warn(`the pattern ${regexp} of the custom field ${id} fits no value: ${problem}`)
      return outcome
    }
  }
}

/** Why a pattern never matches, so that every update with a value for its field is refused. */
function problemOf (regexp: string): string | undefined {
  if (/^\/\^|\$\/[a-z]*$/.test(regexp)) return 'the slashes around it count as a part of it'
  try {
    RegExp(regexp)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

const permissions: Collection = {
  name: 'permissions',
  prepare: (database) => {
    const remove = database.prepare('DELETE FROM omnichannel_role_permission WHERE permission = ?')
    const insert = database.prepare('INSERT INTO omnichannel_role_permission (permission, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
    return (document) => {
      const permission = idOf(document)
      const roles = readRoles(document)
      const isNew = remove.run(permission).changes === 0
      for (const role of roles) insert.run(permission, role)
      return isNew ? 'new' : 'updated'
    }
  }
}

function readRoles (document: Document): string[] {
  return list(document.roles, 'roles').map((role) => text(role, 'roles'))
}

const users: Collection = {
  name: 'users',
  prepare: (database) => {
    const putUser = prepareUpsert(database, 'omnichannel_user', ['id', 'username', 'name', 'active'])
    const removeRoles = database.prepare('DELETE FROM omnichannel_user_role WHERE user_id = ?')
    const insertRole = database.prepare('INSERT INTO omnichannel_user_role (user_id, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
    const replaceTokens = prepareTokens(database)
    return (document) => {
      const id = idOf(document)
      const username = textOrNull(document.username, 'username') ?? ''
      const name = textOrNull(document.name, 'name') ?? ''
      const active = flag(document.active, 'active', true)
      const roles = readRoles(document)
      const tokens = readTokens(document)

      const outcome = putUser([id, username, name, active])
      removeRoles.run(id)
      for (const role of roles) insertRole.run(id, role)
      replaceTokens(id, tokens)
      return outcome
    }
  }
}

interface Token {
  hash: string
  name: string
  createdAt: string
}

/** The personal access tokens, so that API clients go on working. Sessions of browsers are not imported. */
function readTokens (user: Document): Token[] {
  const { loginTokens } = object(object(user.services, 'services').resume, 'services.resume')
  return list(loginTokens, 'loginTokens')
    .map((token) => object(token, 'loginTokens'))
    .filter((token) => token.type === 'personalAccessToken')
    .map((token) => ({
      hash: text(token.hashedToken, 'loginTokens.hashedToken'),
      name: textOrNull(token.name, 'loginTokens.name') ?? '',
      // Older versions of Rocket.Chat store no time.
      createdAt: timeOrNull(token.when ?? token.createdAt, 'loginTokens.when') ?? new Date().toISOString()
    }))
}

/**
 * Returns a function that replaces the tokens of a user's earlier import. A table of its own records imported tokens, so that tokens
 * that were made here stay.
 */
function prepareTokens (database: Database.Database): (userId: string, tokens: Token[]) => void {
  database.exec(`
    CREATE TABLE IF NOT EXISTS omnichannel_imported_token (
      user_id      TEXT NOT NULL,
      hashed_token TEXT NOT NULL,
      PRIMARY KEY (user_id, hashed_token)
    ) STRICT, WITHOUT ROWID`)
  const removeGone = database.prepare(`
    DELETE FROM omnichannel_auth_token
    WHERE user_id = :userId
      AND hashed_token IN (SELECT hashed_token FROM omnichannel_imported_token WHERE user_id = :userId)
      AND hashed_token NOT IN (SELECT value FROM json_each(:hashes))`)
  const forget = database.prepare('DELETE FROM omnichannel_imported_token WHERE user_id = ?')
  const put = prepareUpsert(database, 'omnichannel_auth_token', ['hashed_token', 'user_id', 'name', 'created_at'])
  const remember = database.prepare('INSERT INTO omnichannel_imported_token (user_id, hashed_token) VALUES (?, ?) ON CONFLICT DO NOTHING')
  return (userId, tokens) => {
    removeGone.run({ userId, hashes: JSON.stringify(tokens.map(({ hash }) => hash)) })
    forget.run(userId)
    for (const { hash, name, createdAt } of tokens) {
      put([hash, userId, name, createdAt])
      remember.run(userId, hash)
    }
  }
}

const rooms: Collection = {
  name: 'rooms',
  wanted: "omnichannel rooms (t: 'l' with a contactId)",
  prepare: (database) => {
    const put = prepareUpsert(database, 'omnichannel_room', ['id', 'contact_id', 'fname', 'updated_at'])
    return (document) => {
      const id = idOf(document)
      const contactId = textOrNull(document.contactId, 'contactId')
      if (document.t !== 'l' || contactId === null) return 'ignored'
      return put([id, contactId, textOrNull(document.fname, 'fname') ?? '', readUpdatedAt(document)])
    }
  }
}

const subscriptions = ofVisitors('subscriptions', 'omnichannel_subscription', ['name', 'fname'])
const inquiries = ofVisitors('inquiries', 'omnichannel_inquiry', ['name'])

function ofVisitors (collection: Collection['name'], table: string, names: string[]): Collection {
  return {
    name: collection,
    wanted: `${collection} of omnichannel rooms (with a visitor's v._id)`,
    prepare: (database) => {
      const put = prepareUpsert(database, table, ['id', 'room_id', 'visitor_id', ...names, 'updated_at'])
      return (document) => {
        const id = idOf(document)
        const visitorId = textOrNull(object(document.v, 'v')._id, 'v._id')
        if (visitorId === null) return 'ignored'
        const texts = names.map((name) => textOrNull(document[name], name) ?? '')
        return put([id, textOrNull(document.rid, 'rid') ?? '', visitorId, ...texts, readUpdatedAt(document)])
      }
    }
  }
}

function readUpdatedAt (document: Document): string {
  return timeOrNull(document._updatedAt ?? document.ts, '_updatedAt') ?? new Date().toISOString()
}

/** In the order of import. */
export const collections: Collection[] = [customFields, permissions, users, contacts, rooms, subscriptions, inquiries]
