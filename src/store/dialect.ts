import type { AliasedRawBuilder, RawBuilder } from 'kysely'

/** An item of a list that arrived as one JSON text. */
export interface Item {
  /** Its position, from 0. */
  key: number
  value: string
}

/** The few things that engines spell differently. */
export interface Dialect {
  /** The items of a JSON array of texts, as a table `item`. */
  items: (list: string) => AliasedRawBuilder<Item, 'item'>
  /** What sorts the definitions of custom fields by their insertion. */
  insertionOrder: RawBuilder<unknown>
}
