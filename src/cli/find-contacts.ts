// Finds the ids of contacts. E-mail addresses and phone numbers have an index, which finds them by a prefix. Names have none: they are
// read page by page along the primary key.

import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely'
import type { Engine } from '../diagnostics.js'
import type { Tables } from '../store/tables.js'

const indexedColumns = { omnichannel_contact_email: 'address', omnichannel_contact_phone: 'phone_number' }
type IndexedTable = keyof typeof indexedColumns

/** Without a text, finds all contacts. Contacts with a matching address or number come first. */
export async function findContactIds (db: Kysely<Tables>, engine: Engine, text: string | undefined, limit: number): Promise<string[]> {
  const ids = new Set<string>()
  const prefixes = new Set(text === undefined ? [] : [text, text.toLowerCase()])
  for (const prefix of prefixes) {
    for (const table of Object.keys(indexedColumns) as IndexedTable[]) {
      for (const { id } of await selectByPrefix(db, table, prefix, limit, engine).execute()) ids.add(id)
    }
  }
  // Names are not compared in SQL, because LIKE ignores case for ASCII only.
  const foldedText = fold(text ?? '')
  let lastId: string | undefined = ''
  while (lastId !== undefined && ids.size < limit) {
    const contacts: Array<{ id: string, name: string }> = await selectPage(db, lastId).execute()
    for (const { id, name } of contacts) if (fold(name).includes(foldedText)) ids.add(id)
    lastId = contacts.at(-1)?.id
  }
  return [...ids].slice(0, limit)
}

export function selectByPrefix (db: Kysely<Tables>, table: IndexedTable, prefix: string, limit: number, engine: Engine) {
  return db.selectFrom('omnichannel_contact as contact').select('contact.id').distinct()
    // Kysely cannot infer the types of a union of tables.
    .innerJoin(`${table} as item` as 'omnichannel_contact_email as item', 'contact.id', 'item.contact_id')
    .where(startsWith(`item.${indexedColumns[table]}`, prefix, engine))
    .where('contact.enabled', '=', 1).orderBy('contact.id').limit(limit)
}

/** Compares with a range, for which both engines use the index. PostgreSQL's index holds the first hundred characters only. */
function startsWith (column: string, prefix: string, engine: Engine): RawBuilder<SqlBool> {
  const lastCharacter = '\u{10FFFF}'
  if (engine === 'sqlite') return sql`${sql.ref(column)} >= ${prefix} and ${sql.ref(column)} < ${prefix + lastCharacter}`
  const indexed = sql`left(${sql.ref(column)}, 100) collate "C"`
  const start = Array.from(prefix).slice(0, 100).join('')
  return sql`${indexed} >= ${start} and ${indexed} < ${start + lastCharacter} and starts_with(${sql.ref(column)}, ${prefix})`
}

export function selectPage (db: Kysely<Tables>, lastId: string) {
  return db.selectFrom('omnichannel_contact').select(['id', 'name'])
    .where('id', '>', lastId).where('enabled', '=', 1).orderBy('id').limit(5000)
}

function fold (text: string): string {
  return text.normalize('NFC').toLowerCase()
}
