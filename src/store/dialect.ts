import type { AliasedRawBuilder, RawBuilder } from 'kysely'

/** An item of a list that arrived as one value. */
export interface Item {
  /** Its position, from 0. */
  key: number
  value: string
}

/** The few things that engines spell differently. */
export interface Dialect {
  /** The items of a list of texts, as a table `item`. */
  items: (list: readonly string[]) => AliasedRawBuilder<Item, 'item'>
  /** What sorts the definitions of custom fields by their insertion. */
  insertionOrder: RawBuilder<unknown>
  /** Whether others write at the same time, so that a row must be locked before it is judged. */
  locksRows: boolean
  /** A value as the driver takes it. */
  toParameter: (value: unknown) => unknown
}
