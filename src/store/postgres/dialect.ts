import { sql } from 'kysely'
import type { Dialect, Item } from '../dialect.js'
import { toParameter } from './codec.js'

/** What only PostgreSQL says so. */
export const postgresDialect: Dialect = {
  items: (list) => sql<Item>`(select ordinality - 1 as key, value from unnest(${list}::text[]) with ordinality as item (value, ordinality))`.as('item'),
  insertionOrder: sql`position`,
  locksRows: true,
  toParameter: toParameter as Dialect['toParameter']
}
