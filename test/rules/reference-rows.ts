// The rows of a database, as the reference knows them.

import type { Database } from 'better-sqlite3'
import { rows } from '../build.js'

export type Table = Array<Record<string, unknown>>

/** The rows as the reference wants them: JSON read, and definitions in the order in which they were made. */
export function read (database: Database): Record<string, Table> {
  const all = { ...rows(database), omnichannel_custom_field: database.prepare('SELECT * FROM omnichannel_custom_field ORDER BY rowid').all() }
  return JSON.parse(JSON.stringify(all), (key: string, value: unknown) =>
    ['custom_fields', 'conflicting_fields', 'details', 'answer'].includes(key) ? JSON.parse(String(value)) : value)
}

export function sorted (all: Record<string, Table>): Record<string, Table> {
  const byText = (row: object): string => JSON.stringify(row)
  return Object.fromEntries(Object.entries(all).map(([table, list]) =>
    [table, list.toSorted((a, b) => byText(a) < byText(b) ? -1 : 1)]))
}
