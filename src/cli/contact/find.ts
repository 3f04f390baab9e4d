// The ids of contacts by what a person knows of them. E-mail addresses and phone numbers are searched by how they
// start, which their indexes answer. A name has no index: it is read page by page along the primary key.

import type { Kysely } from 'kysely'
import type { Tables } from '../../store/tables.js'

type Query = (db: Kysely<Tables>, start: string, limit: number) => { execute: () => Promise<Array<{ id: string }>> }

const pageSize = 5000

/** Those found by an address or a number come first. */
export async function findContactIds (db: Kysely<Tables>, text: string | undefined, limit: number): Promise<string[]> {
  const ids = new Set<string>()
  if (text !== undefined) {
    for (const start of new Set([text, text.toLowerCase()])) {
      for (const query of [byEmail, byPhone] satisfies Query[]) {
        for (const { id } of await query(db, start, limit).execute()) ids.add(id)
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

export function byEmail (db: Kysely<Tables>, start: string, limit: number) {
  return db
    .selectFrom('omnichannel_contact_email as email')
    .innerJoin('omnichannel_contact as contact', 'contact.id', 'email.contact_id')
    .select('contact.id')
    .distinct()
    .where('email.address', '>=', start)
    .where('email.address', '<', after(start))
    .where('contact.enabled', '=', 1)
    .orderBy('contact.id')
    .limit(limit)
}

export function byPhone (db: Kysely<Tables>, start: string, limit: number) {
  return db
    .selectFrom('omnichannel_contact_phone as phone')
    .innerJoin('omnichannel_contact as contact', 'contact.id', 'phone.contact_id')
    .select('contact.id')
    .distinct()
    .where('phone.phone_number', '>=', start)
    .where('phone.phone_number', '<', after(start))
    .where('contact.enabled', '=', 1)
    .orderBy('contact.id')
    .limit(limit)
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
