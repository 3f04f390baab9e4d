// What the documents of a collection have and those of the others have not, to notice a file that was given to the wrong
// option. Only keys that Rocket.Chat always writes: a document that has none of them is taken at its option's word.

import type { Document } from './extended-json.js'

type Shape = (document: Document) => boolean

/** By Rocket.Chat's names. The first two are not imported, and easily taken for one that is. */
const shapes: Record<string, Shape> = {
  rocketchat_livechat_visitor: (document) => hasOne(document, 'token', 'visitorEmails'),
  rocketchat_message: (document) => hasAll(document, 'rid', 'msg'),
  rocketchat_livechat_custom_field: (document) => hasOne(document, 'visibility', 'regexp') || hasAll(document, 'scope', 'label'),
  // Users have roles too. The id of a permission has hyphens, as in view-livechat-contact, and it has little else.
  rocketchat_permissions: (document) =>
    hasAll(document, 'roles') && isHyphened(document._id) && !hasOne(document, 'services', ...ofUsers),
  users: (document) =>
    (hasOne(document, 'services', 'username') || (hasAll(document, 'roles') && hasOne(document, ...ofUsers))) &&
    !hasOne(document, 'token', 'visitorEmails'),
  rocketchat_livechat_contact: (document) =>
    hasOne(document, 'unknown', 'channels', 'conflictingFields') && !hasOne(document, 'token', 'rid'),
  rocketchat_room: (document) => typeof document.t === 'string' && !hasAll(document, 'rid'),
  rocketchat_subscription: (document) => hasAll(document, 'rid', 'u') && !hasAll(document, 'msg'),
  rocketchat_livechat_inquiry: (document) =>
    hasAll(document, 'rid', 'v') && hasOne(document, 'status', 'message', 'queueOrder') && !hasOne(document, 'u', 'msg')
}

const ofUsers = ['username', 'name', 'active', 'type', 'status', 'emails', 'createdAt']

/** The collection that a document must be of, judging by its keys, when it is not of the one that was expected. */
export function detectCollection (document: Document, expected: string): string | undefined {
  if (shapes[expected]?.(document) === true) return undefined
  return Object.keys(shapes).find((source) => shapes[source]?.(document))
}

function hasOne (document: Document, ...keys: string[]): boolean {
  return keys.some((key) => Object.hasOwn(document, key))
}

function hasAll (document: Document, ...keys: string[]): boolean {
  return keys.every((key) => Object.hasOwn(document, key))
}

function isHyphened (id: unknown): boolean {
  return typeof id === 'string' && id.includes('-')
}
