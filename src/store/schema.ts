// What the scripts of both engines' schemas say, and how a database is measured by them.

import { IncompleteSchemaError, UnsuitableColumnError } from '../errors.js'

/** Who may update contacts in a database that says nothing about it: Rocket.Chat's default. */
export const permission = 'update-livechat-contact'
export const defaultRoles = ['admin', 'livechat-manager', 'livechat-monitor', 'livechat-agent']

export interface RequiredTable {
  table: string
  columns: Array<{ name: string, type: string }>
}

/** Read off a script: a column is a line of a table's body that starts with a lower-case name. */
export function readTables (script: string): RequiredTable[] {
  return [...script.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+) \($(.*?)^\)/gms)].map(([, table = '', body = '']) => ({
    table,
    columns: [...body.matchAll(/^ {2}([a-z]\w*) +(\w+)/gm)].map(([, name = '', type = '']) => ({ name, type }))
  }))
}

/**
 * The tables and columns that the database lacks, as a person would name them.
 *
 * @param columnsOf the columns of a table that is there, with their types
 * @throws {UnsuitableColumnError} when a column of the host's does not hold text where ours does: one id could then be taken
 * for another, and a caller for somebody else
 */
export function findMissingIn (
  required: readonly RequiredTable[], columnsOf: (table: string) => ReadonlyMap<string, string>, holdsText: (type: string) => boolean
): string[] {
  return required.flatMap(({ table, columns }) => {
    const present = columnsOf(table)
    if (present.size === 0) return table
    return columns.flatMap(({ name, type: wanted }) => {
      const type = present.get(name)
      if (type === undefined) return `${table}.${name}`
      if (/^text$/i.test(wanted) && !holdsText(type)) throw new UnsuitableColumnError(`${table}.${name}`, type, name)
      return []
    })
  })
}

/** @throws {IncompleteSchemaError} */
export function refuseMissing (missing: string[]): void {
  if (missing.length > 0) throw new IncompleteSchemaError(missing.join(', '))
}
