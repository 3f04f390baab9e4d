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

/** The result of storing a document. It is ignored if it has nothing to do with omnichannel contacts. */
export type Outcome = 'new' | 'updated' | 'ignored'

/** Stores a document, or throws a BadLineError before it writes anything. `warn` is for a document that is stored but will not work. */
export type StoreDocument = (database: Connection, document: Document, warn: (sentence: string) => void) => Outcome

export type Row = Record<string, string | number | null>

/** Returns how many rows were inserted. */
export function insert (database: Connection, table: string, row: Row, onConflict = ''): number {
  const columns = Object.keys(row)
  const sql = `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ${onConflict}`
  return database.run(sql, Object.values(row))
}

/** Inserts a row, or updates the row with the same first column. ON CONFLICT DO UPDATE would not tell whether the row is new. */
export function upsert (database: Connection, table: string, row: Row, moreAssignments = ''): 'new' | 'updated' {
  const [key = '', ...others] = Object.keys(row)
  if (insert(database, table, row, `ON CONFLICT (${key}) DO NOTHING`) === 1) return 'new'
  const [id, ...values] = Object.values(row)
  database.run(`UPDATE ${table} SET ${others.map((column) => `${column} = ?`).join(', ')}${moreAssignments} WHERE ${key} = ?`, [...values, id])
  return 'updated'
}
