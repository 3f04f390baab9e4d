import type Database from 'better-sqlite3'

/** Stores one row by its first column; true when it was not there yet. */
export type Upsert = (row: unknown[]) => boolean

/**
 * Two statements instead of ON CONFLICT DO UPDATE, to know which it was: a new contact has no lists to delete. Another
 * UNIQUE index, one of the host's own, refuses the row.
 */
export function prepareUpsert (database: Database.Database, table: string, columns: string[], alsoSet = ''): Upsert {
  const [key = '', ...others] = columns
  const insert = database.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ON CONFLICT (${key}) DO NOTHING`)
  const update = database.prepare(
    `UPDATE ${table} SET ${others.map((column) => `${column} = ?`).join(', ')}${alsoSet} WHERE ${key} = ?`)
  return (row) => {
    if (insert.run(row).changes === 1) return true
    update.run([...row.slice(1), row[0]])
    return false
  }
}
