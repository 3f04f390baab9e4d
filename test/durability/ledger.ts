// The contacts before the load, and the check afterwards: every acknowledged update is there, complete and once.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import pg from 'pg'
import omnichannelContacts, { type PostgresClient } from '../../src/index.js'
import { openHandle } from '../helpers/handle.js'
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
export async function examine ({ query, ledger }: Store, updates: readonly SentUpdate[]): Promise<Damage> {
  const [losses, doubles]: [string[], string[]] = [[], []]
  const versions = new Map<string, number>()
  const entriesOf = async (table: string): Promise<Entry[]> =>
    await query(`SELECT contact_id, version, key FROM ${table} ORDER BY version, key`) as unknown as Entry[]
  const ofVisitor = "substr(visitor_id, length('visitor of ') + 1) AS contact_id"
  const contacts = await query('SELECT id, version, name FROM omnichannel_contact ORDER BY id')
  const keys = await entriesOf('omnichannel_idempotency_key')
  const entries = await entriesOf(ledger)
  const emails = await query('SELECT contact_id, address AS text FROM omnichannel_contact_email ORDER BY contact_id, position')
  const rooms = await query('SELECT contact_id, fname AS text FROM omnichannel_room')
  const subscriptions = await query(`SELECT ${ofVisitor}, name || '/' || fname AS text FROM omnichannel_subscription`)
  const inquiries = await query(`SELECT ${ofVisitor}, name AS text FROM omnichannel_inquiry`)

  for (const { id, version, name } of contacts) {
    const done = entries.filter(({ contact_id }) => contact_id === id)
    const textsOf = (rows: Array<Record<string, unknown>>): unknown[] => rows.filter(({ contact_id }) => contact_id === id).map(({ text }) => text)
    for (const { key, version } of done) {
      if (versions.has(key)) doubles.push(`${key} made the versions ${versions.get(key)} and ${version} of ${id}`)
      versions.set(key, version)
    }
    // The version shows an update that was made twice and recorded once.
    if (Number(version) > done.length + 1) doubles.push(`${id} has version ${version} after ${done.length} updates`)
    if (Number(version) < done.length + 1) losses.push(`${id} has version ${version} after ${done.length} updates`)
    const parts: Array<[what: string, is: unknown, expected: unknown]> = [
      ['versions', done.map(({ version }) => version), done.map((_, index) => index + 2)],
      ['keys', keys.filter(({ contact_id }) => contact_id === id), done]
    ]
    const last = done.at(-1)?.key
    if (last !== undefined) {
      parts.push(
        ['name', name, last],
        ['emails', textsOf(emails), emailsOf(last)],
        ['rooms', textsOf(rooms), [last, last]],
        ['subscriptions', textsOf(subscriptions), [`${last}/${last}`, `${last}/${last}`]],
        ['inquiries', textsOf(inquiries), [last, last]])
    }
    for (const [what, is, expected] of parts) {
      if (JSON.stringify(is) !== JSON.stringify(expected)) losses.push(`${id}: ${what} ${JSON.stringify(is)} instead of ${JSON.stringify(expected)}`)
    }
  }

  for (const { key, contactId, etag } of updates) {
    const version = versions.get(key)
    if (etag !== undefined && etag !== `"${version}"`) losses.push(`${key} was acknowledged as version ${etag} of ${contactId} and is ${version ?? 'not there'}`)
    versions.delete(key)
  }
  for (const key of versions.keys()) losses.push(`${key} is there and was never sent`)
  return { losses, doubles }
}

interface Entry {
  contact_id: string
  version: number
  key: string
}
