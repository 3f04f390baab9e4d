// What is copied: every table of the schema but the record of its versions.

import type { QueryConfig } from 'pg'
import { parserOf, toParameter } from '../../store/postgres/codec.js'
import { postgres } from '../../store/migrations/generated.js'

export interface CopiedTable {
  name: string
  /** The rows of the file, in the order of their insertion where that matters. */
  read: string
  /** The same rows of the server, as SQLite gives them. */
  readBack: string
  types: { getTypeParser: typeof parserOf }
  insert: (rows: unknown[][]) => QueryConfig
}

const schema = Object.entries(postgres.tables).filter(([name]) => name !== 'omnichannel_migration')

export const tables: CopiedTable[] = schema.map(([name, columns]) => {
  // The order of insertion is rowid in the file, and counted anew here.
  const isOrdered = name === 'omnichannel_custom_field'
  const copied = Object.entries(columns).filter(([column]) => !isOrdered || column !== 'position')
  const names = copied.map(([column]) => column)
  const lists = names.map((_, index) => `$${index + 1}::text[]`)
  const values = copied.map(([column, type]) => `copied.${column}::${type}`)
  const text = `INSERT INTO ${name} (${names.join(', ')}) SELECT ${values.join(', ')} ` +
    `FROM unnest(${lists.join(', ')}) WITH ORDINALITY AS copied (${names.join(', ')}, nth) ORDER BY nth`
  const readable = copied.map(([column, type]) =>
    type === 'timestamptz' ? `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')` : column)
  return {
    name,
    read: `SELECT ${names.join(', ')} FROM ${name}${isOrdered ? ' ORDER BY rowid' : ''}`,
    readBack: `SELECT ${readable.join(', ')} FROM ${name}`,
    types: { getTypeParser: parserOf },
    insert: (rows) => ({ name: `copy_${name}`, text, values: names.map((_, index) => toParameter(rows.map((row) => row[index] as string | number | null))) })
  }
})
