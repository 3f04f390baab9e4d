// Reads the rows of a database in the form that reference.ts uses.

import { allRows } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'

export type Table = Array<Record<string, unknown>>

/** The tables that tests empty before each case: all but those that the plugin itself has filled. */
export async function tablesToEmpty (db: Db): Promise<string[]> {
  return Object.keys(await allRows(db)).filter((table) => !/permission|migration/.test(table))
}

/** All rows. JSON columns are parsed, and definitions of custom fields are in the order of their insertion. */
export async function readTables (db: Db): Promise<Record<string, Table>> {
  const definitions = await db.rows(`SELECT * FROM omnichannel_custom_field ORDER BY ${db.insertionOrder}`)
  const all = { ...await allRows(db), omnichannel_custom_field: definitions }
  return JSON.parse(JSON.stringify(all), (key: string, value: unknown) =>
    ['custom_fields', 'conflicting_fields', 'details', 'answer'].includes(key) ? JSON.parse(String(value)) : value)
}

/** A copy with the rows of each table in a fixed order, for comparisons. */
export function sortRows (tables: Record<string, Table>): Record<string, Table> {
  const compare = (one: object, other: object): number => JSON.stringify(one) < JSON.stringify(other) ? -1 : 1
  return Object.fromEntries(Object.entries(tables).map(([name, rows]) => [name, rows.toSorted(compare)]))
}
