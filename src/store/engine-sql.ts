// SQL that differs between SQLite and PostgreSQL.

import { sql, type AliasedRawBuilder, type RawBuilder } from 'kysely'

interface Item {
  /** Its position in the list, from 0. */
  key: number
  value: string
}

export interface EngineSql {
  /** A table `item` with the items of a list. The whole list is one parameter. */
  items: (list: readonly string[]) => AliasedRawBuilder<Item, 'item'>
  /** Sorts the definitions of custom fields by the order in which they were inserted. */
  insertionOrder: RawBuilder<unknown>
  /** Whether other transactions run at the same time, so that a row must be locked before it is checked. */
  locksRows: boolean
}

export const sqliteSql: EngineSql = {
  items: (list) => sql<Item>`json_each(${list})`.as('item'),
  insertionOrder: sql`rowid`,
  // A transaction locks the whole database.
  locksRows: false
}

export const postgresSql: EngineSql = {
  items: (list) => sql<Item>`(select ordinality - 1 as key, value from unnest(${list}::text[]) with ordinality as item (value, ordinality))`.as('item'),
  insertionOrder: sql`position`,
  locksRows: true
}
