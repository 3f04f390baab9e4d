// Reads the rows of a database for the reference.

import { allRows } from '../helpers/build.js'
import type { Db } from '../helpers/database.js'

export type Table = Array<Record<string, unknown>>

/** JSON columns are parsed, and definitions are in the order of their insertion. */
export async function read (db: Db): Promise<Record<string, Table>> {
  const definitions = await db.rows(`SELECT * FROM omnichannel_custom_field ORDER BY ${db.insertionOrder}`)
  const all = { ...await allRows(db), omnichannel_custom_field: definitions }
  return JSON.parse(JSON.stringify(all), (key: string, value: unknown) =>
    ['custom_fields', 'conflicting_fields', 'details', 'answer'].includes(key) ? JSON.parse(String(value)) : value)
}

export function sorted (all: Record<string, Table>): Record<string, Table> {
  const byText = (row: object): string => JSON.stringify(row)
  return Object.fromEntries(Object.entries(all).map(([table, list]) =>
    [table, list.toSorted((a, b) => byText(a) < byText(b) ? -1 : 1)]))
}
