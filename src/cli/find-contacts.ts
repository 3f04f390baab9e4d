// The ids of contacts by what a person knows of them. E-mail addresses and phone numbers are searched by how they
// start, which their indexes answer. A name has no index: it is read page by page along the primary key.

import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely'
import type { Tables } from '../store/tables.js'
import type { Opened } from './command.js'

/** Whether a column starts with a text, asked so that the index on it answers. */
type StartsWith = (column: string, start: string) => RawBuilder<SqlBool>

type Query = (db: Kysely<Tables>, start: string, limit: number, startsWith: StartsWith) => { execute: () => Promise<Array<{ id: string }>> }

const pageSize = 5000

/** Those found by an address or a number come first. */
export async function findContactIds ({ db, handle }: Opened, text: string | undefined, limit: number): Promise<string[]> {
  const ids = new Set<string>()
  const startsWith = 'pragma' in handle ? inFile : onServer
  if (text !== undefined) {
    for (const start of new Set([text, text.toLowerCase()])) {
      for (const query of [byEmail, byPhone] satisfies Query[]) {
        for (const { id } of await query(db, start, limit, startsWith).execute()) ids.add(id)
      }
    }
  }
  if (ids.size < limit) {
    for await (const id of namedLike(db, text ?? '')) {
      if (ids.add(id).size >= limit) break
    }
  }
  return [...ids].slice(0, limit)
}

export function byEmail (db: Kysely<Tables>, start: string, limit: number, startsWith = inFile) {
  return db
    .selectFrom('omnichannel_contact_email as email')
    .innerJoin('omnichannel_contact as contact', 'contact.id', 'email.contact_id')
    .select('contact.id')
    .distinct()
    .where(startsWith('email.address', start))
    .where('contact.enabled', '=', 1)
    .orderBy('contact.id')
    .limit(limit)
}

export function byPhone (db: Kysely<Tables>, start: string, limit: number, startsWith = inFile) {
  return db
    .selectFrom('omnichannel_contact_phone as phone')
    .innerJoin('omnichannel_contact as contact', 'contact.id', 'phone.contact_id')
    .select('contact.id')
    .distinct()
    .where(startsWith('phone.phone_number', start))
    .where('contact.enabled', '=', 1)
    .orderBy('contact.id')
    .limit(limit)
}

function inFile (column: string, start: string): RawBuilder<SqlBool> {
  return sql`${sql.ref(column)} >= ${start} and ${sql.ref(column)} < ${after(start)}`
}

/** The index holds the first hundred characters. */
function onServer (column: string, start: string): RawBuilder<SqlBool> {
  const indexed = sql`left(${sql.ref(column)}, 100) collate "C"`
  const first = Array.from(start).slice(0, 100).join('')
  return sql`${indexed} >= ${first} and ${indexed} < ${after(first)} and starts_with(${sql.ref(column)}, ${start})`
}

/** A text behind all that start like this one, and before all others. */
function after (start: string): string {
  return `${start}\u{10FFFF}`
}

export function page (db: Kysely<Tables>, lastId: string) {
  return db
    .selectFrom('omnichannel_contact')
    .select(['id', 'name'])
    .where('id', '>', lastId)
    .where('enabled', '=', 1)
    .orderBy('id')
    .limit(pageSize)
}

/** Compared here and not by LIKE, which knows capital and small letters of ASCII only. */
async function * namedLike (db: Kysely<Tables>, part: string): AsyncGenerator<string> {
  const wanted = fold(part)
  for (let lastId: string | undefined = ''; lastId !== undefined;) {
    const contacts: Array<{ id: string, name: string }> = await page(db, lastId).execute()
    for (const { id, name } of contacts) if (fold(name).includes(wanted)) yield id
    lastId = contacts.at(-1)?.id
  }
}

function fold (text: string): string {
  return text.normalize('NFC').toLowerCase()
}
