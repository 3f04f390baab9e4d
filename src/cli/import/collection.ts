import type { Connection } from '../../store/sqlite/connection.js'
import type { Document } from './extended-json.js'

/** Rocket.Chat's collection for each option, in the order of import. */
export const collections = {
  'custom-fields': 'rocketchat_livechat_custom_field',
  permissions: 'rocketchat_permissions',
  users: 'users',
  contacts: 'rocketchat_livechat_contact',
  rooms: 'rocketchat_room',
  subscriptions: 'rocketchat_subscription',
  inquiries: 'rocketchat_livechat_inquiry'
}

/** The name of its option. */
export type CollectionName = keyof typeof collections

/** What became of a document. It is ignored if it does not concern omnichannel contacts. */
export type Outcome = 'new' | 'updated' | 'ignored'

/** Stores a document. Throws a BadLineError before it writes anything. Warns of a document that is stored but will not work. */
export type StoreDocument = (database: Connection, document: Document, warn: (sentence: string) => void) => Outcome

export type Row = Record<string, string | number | null>

/** Returns how many rows were inserted. */
export function insert (database: Connection, table: string, row: Row, onConflict = ''): number {
  const columns = Object.keys(row)
  const sql = `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ${onConflict}`
  return database.run(sql, Object.values(row))
}

/**
 * Stores a row by its first column. Two statements instead of ON CONFLICT DO UPDATE, to know whether the row is new: a new contact has
 * no lists to delete. A UNIQUE index of the host's own still refuses the row.
 */
export function upsert (database: Connection, table: string, row: Row, alsoSet = ''): 'new' | 'updated' {
  const [key = '', ...others] = Object.keys(row)
  if (insert(database, table, row, `ON CONFLICT (${key}) DO NOTHING`) === 1) return 'new'
  const [id, ...values] = Object.values(row)
  database.run(`UPDATE ${table} SET ${others.map((column) => `${column} = ?`).join(', ')}${alsoSet} WHERE ${key} = ?`, [...values, id])
  return 'updated'
}
