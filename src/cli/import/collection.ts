import type Database from 'better-sqlite3'
import type { Document } from './extended-json.js'

/** Rocket.Chat's collection for each option, in the order of import. */
export const sources = {
  'custom-fields': 'rocketchat_livechat_custom_field',
  permissions: 'rocketchat_permissions',
  users: 'users',
  contacts: 'rocketchat_livechat_contact',
  rooms: 'rocketchat_room',
  subscriptions: 'rocketchat_subscription',
  inquiries: 'rocketchat_livechat_inquiry'
}

/** What became of a document. It is ignored if it does not concern omnichannel contacts. */
export type Outcome = 'new' | 'updated' | 'ignored'

/** Stores a document. Throws a BadLineError before it writes anything. */
export type StoreDocument = (document: Document) => Outcome

export interface Collection {
  /** The name of its option. */
  name: keyof typeof sources
  /** Which documents are not ignored, for the message if there are none. */
  wanted?: string
  /** @param warn is called for a document that is stored but will not work */
  prepare: (database: Database.Database, warn: (sentence: string) => void) => StoreDocument
}

/** Stores a row by its first column. */
export type Upsert = (row: unknown[]) => 'new' | 'updated'

/**
 * Two statements instead of ON CONFLICT DO UPDATE, to know whether the row is new: a new contact has no lists to delete.
 * A UNIQUE index of the host's own still refuses the row.
 */
export function prepareUpsert (database: Database.Database, table: string, columns: string[], alsoSet = ''): Upsert {
  const [key = '', ...others] = columns
  const insert = database.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ON CONFLICT (${key}) DO NOTHING`)
  const update = database.prepare(
    `UPDATE ${table} SET ${others.map((column) => `${column} = ?`).join(', ')}${alsoSet} WHERE ${key} = ?`)
  return (row) => {
    if (insert.run(row).changes === 1) return 'new'
    update.run([...row.slice(1), row[0]])
    return 'updated'
  }
}
