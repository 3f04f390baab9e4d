// Brings a host's database up to date. Only `main` is searched, not temporary tables or attached files.

import { sqlite } from '../migrations/generated.js'
import { checkTables, pendingChanges, type FoundSchema, type Pending } from '../required-tables.js'
import { commit, withoutBusyTimeout, type Connection } from './connection.js'

/** Custom fields are sorted by `rowid`. A view, or a table WITHOUT ROWID, must have it as a column. */
const customFields = { ...sqlite.tables.omnichannel_custom_field, rowid: 'INTEGER' }
const schema = { ...sqlite, tables: { ...sqlite.tables, omnichannel_custom_field: customFields } }

/** A column without a type, such as an expression of a view, keeps a text as it is. */
const textType = /^$|CHAR|CLOB|TEXT/i

export function findPending (connection: Connection): Pending {
  return pendingChanges(schema, readSchema(connection))
}

export function bringUpToDate (connection: Connection): void {
  if (findPending(connection).script === '') return
  withoutBusyTimeout(connection, () => {
    connection.begin('BEGIN IMMEDIATE')
    try {
      connection.exec(findPending(connection).script)
      commit(connection)
    } finally {
      if (connection.inTransaction) connection.exec('ROLLBACK')
    }
  })
}

export function checkSchema (connection: Connection): void {
  checkTables(schema, readSchema(connection))
}

function readSchema (connection: Connection): FoundSchema {
  const objects = connection.all(
    "SELECT lower(name), CASE WHEN type = 'table' AND rootpage = 0 THEN 'virtual table' ELSE type END FROM main.sqlite_schema") as Array<[name: string, kind: string]>
  // `hidden` is 1 for a hidden column of a virtual table, and 2 or 3 for a generated column.
  const columns = connection.all(`
    SELECT wanted.value || '.' || lower(present.name), present.type
    FROM json_each(?) AS wanted JOIN pragma_table_xinfo(wanted.value, 'main') AS present WHERE present.hidden <> 1
    UNION ALL SELECT 'omnichannel_custom_field.rowid', 'INTEGER' FROM pragma_table_list('omnichannel_custom_field')
      WHERE schema = 'main' AND type <> 'view' AND NOT wr`,
  [JSON.stringify(Object.keys(schema.tables))]) as Array<[name: string, type: string]>
  const kinds = new Map(objects)
  for (const [name, type] of columns) kinds.set(name, textType.test(type) ? 'text' : type)
  if (!kinds.has('omnichannel_migration.id')) return { version: 0, kinds }
  const [version] = connection.get('SELECT coalesce(max(id), 0) FROM main.omnichannel_migration') as [number]
  return { version, kinds }
}
