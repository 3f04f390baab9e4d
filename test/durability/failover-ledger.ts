// What the contacts are before the load, what the host writes beside each update, and what must be true of both afterwards.

import fastify from 'fastify'
import pg from 'pg'
import omnichannelContacts, { type PostgresClient } from '../../src/index.js'
import type { Damage } from './crash-file.js'
import type { Sent } from './failover-client.js'

export const contactIds = Array.from({ length: 8 }, (_, index) => `contact-${index}`)

/** Brings an empty server to the schema and to some contacts, each with what carries its name. */
export async function fill (host: string): Promise<void> {
  const pool = new pg.Pool({ host, user: 'postgres' })
  try {
    const app = fastify()
    await app.register(omnichannelContacts, { database: pool })
    await app.close()
    // Without a constraint, so that what is done twice is there twice.
    await pool.query('CREATE TABLE ledger (key text, contact_id text, version integer)')
    for (const [table, columns, values] of [
      ['contact', 'id, name', "id, ''"],
      ['contact_channel', 'contact_id, position, name, visitor_id, source_type', "id, 0, 'Widget', 'visitor of ' || id, 'widget'"],
      ['room', 'id, contact_id', "'room of ' || id, id"],
      ['subscription', 'id, visitor_id', "'subscription of ' || id, 'visitor of ' || id"],
      ['inquiry', 'id, visitor_id', "'inquiry of ' || id, 'visitor of ' || id"]
    ]) await pool.query(`INSERT INTO omnichannel_${table} (${columns}) SELECT ${values} FROM unnest($1::text[]) AS wanted (id)`, [contactIds])
  } finally {
    await pool.end()
  }
}

/** The host's own row for an update, in its transaction. */
export async function keepLedger (client: PostgresClient, { _id }: { _id: string }, key: string): Promise<void> {
  await client.query('INSERT INTO ledger (key, contact_id, version) SELECT $1, id, version FROM omnichannel_contact WHERE id = $2', [key, _id])
}

/** One line a contact: what there is of it, and the updates that were done to it. */
const question = `
  SELECT id, version, name,
    (SELECT array_agg(address ORDER BY position) FROM omnichannel_contact_email WHERE contact_id = id) AS emails,
    (SELECT fname FROM omnichannel_room WHERE contact_id = contact.id) AS room,
    (SELECT name || '/' || fname FROM omnichannel_subscription WHERE visitor_id = 'visitor of ' || contact.id) AS subscription,
    (SELECT name FROM omnichannel_inquiry WHERE visitor_id = 'visitor of ' || contact.id) AS inquiry,
    (SELECT json_agg(json_build_array(version, key) ORDER BY version, key) FROM omnichannel_idempotency_key WHERE contact_id = id) AS keys,
    (SELECT json_agg(json_build_array(version, key) ORDER BY version, key) FROM ledger WHERE contact_id = id) AS ledger
  FROM omnichannel_contact AS contact ORDER BY id`

/** What is wrong with what the server holds, after all that was sent. */
export async function examine (host: string, sent: readonly Sent[]): Promise<Damage> {
  const client = new pg.Client({ host, user: 'postgres' })
  await client.connect()
  const { rows } = await client.query(question).finally(async () => await client.end())
  const [losses, doubles]: [string[], string[]] = [[], []]
  const done = new Map<string, number>()

  for (const { id, version, name, emails, room, subscription, inquiry, keys, ledger } of rows) {
    const updates = (ledger ?? []) as Array<[version: number, key: string]>
    for (const [at, key] of updates) {
      if (done.has(key)) doubles.push(`${key} made the versions ${done.get(key)} and ${at} of ${id}`)
      done.set(key, at)
    }
    const [, last] = updates.at(-1) ?? []
    const parts: Array<[what: string, is: unknown, expected: unknown]> = [
      ['version', version, updates.length + 1],
      ['versions in the ledger', updates.map(([at]) => at), updates.map((_, index) => index + 2)],
      ['keys', keys ?? [], updates],
      ...last === undefined ? [] : [
        ['name', name, last], ['emails', emails, emailsOf(last)], ['room', room, last], ['subscription', subscription, `${last}/${last}`], ['inquiry', inquiry, last]
      ] as Array<[string, unknown, unknown]>
    ]
    for (const [what, is, expected] of parts) {
      if (JSON.stringify(is) !== JSON.stringify(expected)) losses.push(`${id}: the ${what}: ${JSON.stringify(is)} and not ${JSON.stringify(expected)}`)
    }
  }
  for (const { key, contactId, etag } of sent) {
    const version = done.get(key)
    if (etag !== undefined && etag !== `"${version}"`) losses.push(`${key} was acknowledged as version ${etag} of ${contactId} and is ${version ?? 'not there'}`)
    done.delete(key)
  }
  for (const key of done.keys()) losses.push(`${key} is there and was never sent`)
  return { losses, doubles }
}

/** What an update says, from its key, which is the name. */
export function emailsOf (key: string): string[] {
  return [`${key}@example.com`, `${key}@example.org`]
}
