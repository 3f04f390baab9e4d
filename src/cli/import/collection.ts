import type Database from 'better-sqlite3'
import type { Document } from './extended-json.js'

/** Rocket.Chat's names of the collections, by those of our options, in the order in which they are imported. */
export const sources = {
  'custom-fields': 'rocketchat_livechat_custom_field',
  permissions: 'rocketchat_permissions',
  users: 'users',
  contacts: 'rocketchat_livechat_contact',
  rooms: 'rocketchat_room',
  subscriptions: 'rocketchat_subscription',
  inquiries: 'rocketchat_livechat_inquiry'
}

/** What became of a line; one that has nothing to do with omnichannel contacts is ignored. */
export type Outcome = 'new' | 'updated' | 'ignored'

export interface Collection {
  /** Also the name of its option. */
  name: string
  /** Rocket.Chat's name for it. */
  source: string
  /** What there was none of when all documents were ignored. */
  wanted?: string
  /** Returns what stores one document; it throws a BadLineError before it writes anything. `warn` is told of what cannot work later. */
  prepare: (database: Database.Database, warn: (sentence: string) => void) => (document: Document) => Outcome
}

/** Stores one row by its first column; true when it was not there yet. */
export type Upsert = (row: unknown[]) => boolean

/**
 * Two statements instead of ON CONFLICT DO UPDATE, to know which it was: a new contact has no lists to delete. Another
 * UNIQUE index, one of the host's own, refuses the row.
 */
export function prepareUpsert (database: Database.Database, table: string, columns: string[], alsoSet = ''): Upsert {
  const [key = '', ...others] = columns
  const insert = database.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ON CONFLICT (${key}) DO NOTHING`)
  const update = database.prepare(
    `UPDATE ${table} SET ${others.map((column) => `${column} = ?`).join(', ')}${alsoSet} WHERE ${key} = ?`)
  return (row) => {
    if (insert.run(row).changes === 1) return true
    update.run([...row.slice(1), row[0]])
    return false
  }
}
