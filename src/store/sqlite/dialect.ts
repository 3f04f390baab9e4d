import { sql } from 'kysely'
import type { Dialect, Item } from '../dialect.js'

/** What only SQLite says so. */
export const sqliteDialect: Dialect = {
  items: (list) => sql<Item>`json_each(${list})`.as('item'),
  insertionOrder: sql`rowid`,
  // A transaction has the whole database.
  locksRows: false,
  toParameter: (value) => Array.isArray(value) ? JSON.stringify(value) : value
}
