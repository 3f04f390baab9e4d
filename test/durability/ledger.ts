// The contacts before the load, and the check afterwards: every acknowledged update is there, complete and once.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import pg from 'pg'
import omnichannelContacts, { type PostgresClient } from '../../src/index.js'
import { openHandle } from '../helpers/open-handle.js'
import { contactIds, emailsOf, type SentUpdate } from './load.js'

/** A database whose SQL both engines read. */
export interface Store {
  database: Database.Database | pg.Pool
  /** The table that has a row for each update. */
  ledger: string
  query: (sql: string) => Promise<Array<Record<string, unknown>>>
  close: () => Promise<void>
}

/** The ledger is the table of idempotency keys. */
export function openSqlite (file: string): Store {
  const database = openHandle(file)
  return {
    database,
    ledger: 'omnichannel_idempotency_key',
    query: async (sql) => {
      const statement = database.prepare<[], Record<string, unknown>>(sql)
      if (statement.reader) return statement.all()
      statement.run()
      return []
    },
    close: async () => { database.close() }
  }
}

/** The ledger is a table that `beforeCommit` fills. */
export function openPostgres (host: string): Store {
  const database = new pg.Pool({ host, user: 'postgres', max: 1 })
  return {
    database,
    ledger: 'ledger',
    query: async (sql) => (await database.query<Record<string, unknown>>(sql)).rows,
    close: async () => await database.end()
  }
}

/** Creates the tables, and contacts with rooms, subscriptions and inquiries. */
export async function fill ({ database, query }: Store): Promise<void> {
  const app = fastify()
  await app.register(omnichannelContacts, { database })
  await app.close()
  // No constraint, so that an update that is made twice has two rows.
  await query('CREATE TABLE ledger (key text, contact_id text, version integer)')
  for (const id of contactIds) {
    const insert = async (table: string, columns: string, values: string): Promise<unknown> =>
      await query(`INSERT INTO omnichannel_${table} (${columns}) VALUES (${values})`)
    await insert('contact', 'id, name', `'${id}', ''`)
    await insert('contact_channel', 'contact_id, position, name, visitor_id, source_type', `'${id}', 0, 'Widget', 'visitor of ${id}', 'widget'`)
    for (const n of [1, 2]) {
      await insert('room', 'id, contact_id', `'room ${n} of ${id}', '${id}'`)
      await insert('subscription', 'id, visitor_id', `'subscription ${n} of ${id}', 'visitor of ${id}'`)
      await insert('inquiry', 'id, visitor_id', `'inquiry ${n} of ${id}', 'visitor of ${id}'`)
    }
  }
}

/** Adds the host's own row for an update, in its transaction. */
export async function recordInLedger (client: PostgresClient, contactId: string, key: string): Promise<void> {
  await client.query('INSERT INTO ledger (key, contact_id, version) SELECT $1, id, version FROM omnichannel_contact WHERE id = $2', [key, contactId])
}

export interface Damage {
  /** What was lost, torn or broken. */
  losses: string[]
  /** Updates that were made more than once. */
  doubles: string[]
}

/** Compares what the database holds with what was sent and acknowledged. */
export async function examine (store: Store, updates: readonly SentUpdate[]): Promise<Damage> {
  const { query, ledger } = store
  const entries = await readEntries(store, ledger)
  const keys = await readEntries(store, 'omnichannel_idempotency_key')
  const texts = await readTexts(store)
  const contacts = await query('SELECT id, version, name FROM omnichannel_contact ORDER BY id') as unknown as Contact[]
  const damages = contacts.map((contact) => {
    const belongsToContact = ({ contact_id: contactId }: Entry): boolean => contactId === contact.id
    return examineContact({ contact, texts, entries: entries.filter(belongsToContact), keys: keys.filter(belongsToContact) })
  })
  return {
    losses: [...damages.flatMap(({ losses }) => losses), ...findWrongVersions(entries, updates), ...findUnsentKeys(entries, updates)],
    doubles: [...findRepeatedKeys(entries), ...damages.flatMap(({ doubles }) => doubles)]
  }
}

interface Contact {
  id: string
  version: number | string
  name: string
}

/** A row of the ledger or of the idempotency keys. */
interface Entry {
  contact_id: string
  version: number
  key: string
}

async function readEntries ({ query }: Store, table: string): Promise<Entry[]> {
  return await query(`SELECT contact_id, version, key FROM ${table} ORDER BY version, key`) as unknown as Entry[]
}

/** The texts that an update writes beside the row of the contact. */
type Texts = Record<'emails' | 'rooms' | 'subscriptions' | 'inquiries', Array<Record<string, unknown>>>

async function readTexts ({ query }: Store): Promise<Texts> {
  const contactOfVisitor = "substr(visitor_id, length('visitor of ') + 1) AS contact_id"
  return {
    emails: await query('SELECT contact_id, address AS text FROM omnichannel_contact_email ORDER BY contact_id, position'),
    rooms: await query('SELECT contact_id, fname AS text FROM omnichannel_room'),
    subscriptions: await query(`SELECT ${contactOfVisitor}, name || '/' || fname AS text FROM omnichannel_subscription`),
    inquiries: await query(`SELECT ${contactOfVisitor}, name AS text FROM omnichannel_inquiry`)
  }
}

/** `entries` and `keys` belong to this contact, `texts` to all contacts. */
function examineContact ({ contact, texts, entries, keys }: { contact: Contact, texts: Texts, entries: Entry[], keys: Entry[] }): Damage {
  const { id, name } = contact
  const losses: string[] = []
  const doubles: string[] = []
  // The version shows an update that was made twice and recorded once.
  const updateCount = Number(contact.version) - 1
  if (updateCount > entries.length) doubles.push(`${id} has version ${contact.version} after ${entries.length} updates`)
  if (updateCount < entries.length) losses.push(`${id} has version ${contact.version} after ${entries.length} updates`)

  const textsOf = (table: keyof Texts): unknown[] => texts[table].filter((row) => row.contact_id === id).map(({ text }) => text)
  const expectEqual = (what: string, actual: unknown, expected: unknown): void => {
    const [actualText, expectedText] = [JSON.stringify(actual), JSON.stringify(expected)]
    if (actualText !== expectedText) losses.push(`${id}: ${what} ${actualText} instead of ${expectedText}`)
  }
  expectEqual('versions', entries.map(({ version }) => version), entries.map((_, index) => index + 2))
  expectEqual('keys', keys, entries)
  // The key of an update is the name that it sends.
  const lastName = entries.at(-1)?.key
  if (lastName === undefined) return { losses, doubles }
  expectEqual('name', name, lastName)
  expectEqual('emails', textsOf('emails'), emailsOf(lastName))
  expectEqual('rooms', textsOf('rooms'), [lastName, lastName])
  expectEqual('subscriptions', textsOf('subscriptions'), [`${lastName}/${lastName}`, `${lastName}/${lastName}`])
  expectEqual('inquiries', textsOf('inquiries'), [lastName, lastName])
  return { losses, doubles }
}

/** An update that was made twice has two entries. */
function findRepeatedKeys (entries: readonly Entry[]): string[] {
  const versions = new Map<string, number>()
  return entries.flatMap(({ key, version, contact_id: contactId }) => {
    const first = versions.get(key)
    versions.set(key, version)
    return first === undefined ? [] : [`${key} made the versions ${first} and ${version} of ${contactId}`]
  })
}

/** The ETag of an acknowledged update must be the version that it made. */
function findWrongVersions (entries: readonly Entry[], updates: readonly SentUpdate[]): string[] {
  const versions = new Map(entries.map(({ key, version }) => [key, version]))
  return updates
    .filter(({ key, etag }) => etag !== undefined && etag !== `"${versions.get(key)}"`)
    .map(({ key, contactId, etag }) => `${key} was acknowledged as version ${etag} of ${contactId} and is ${versions.get(key) ?? 'not there'}`)
}

function findUnsentKeys (entries: readonly Entry[], updates: readonly SentUpdate[]): string[] {
  const sent = new Set(updates.map(({ key }) => key))
  return entries.filter(({ key }) => !sent.has(key)).map(({ key }) => `${key} is there and was never sent`)
}
