import type Database from 'better-sqlite3'

/**
 * While contacts go into an empty database, their indexes are taken away: sorting once in the end is much faster than
 * inserting all over. Returns what puts each of them back; a rollback does too.
 */
export function deferIndexes (database: Database.Database): Array<() => void> {
  const indexes = database.prepare<[], { name: string, sql: string }>(`
    SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'omnichannel\\_contact\\_%' ESCAPE '\\'
      AND NOT EXISTS (SELECT 1 FROM omnichannel_contact)`).all()
  for (const { name } of indexes) database.exec(`DROP INDEX "${name}"`)
  return indexes.map(({ sql }) => () => { database.exec(sql) })
}
