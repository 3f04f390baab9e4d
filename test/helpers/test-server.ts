// Gives each test a server with a database, filled with the same users and contacts. Both are closed when the test ends.

import type Database from 'better-sqlite3'
import fastify, { type FastifyInstance, type FastifyServerOptions, type LightMyRequestResponse } from 'fastify'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import omnichannelContacts, { hashToken, type OmnichannelContactsOptions } from '../../src/index.js'
import type { Db, Row } from './database.js'
import { dialectOf, openDatabase } from './engines.js'
import type { PoolSettings } from './postgres.js'
import { openSqlite } from './sqlite.js'

const schemaOfPostgres = readFileSync(new URL('../../schema.postgres.sql', import.meta.url), 'utf8')

export const path = '/api/v1/omnichannel/contacts.update'

/** The headers that log in a user of `fill`. The token of each is `token-of-<id>`. */
export function as (userId: string): Record<string, string> {
  return { 'x-user-id': userId, 'x-auth-token': `token-of-${userId}` }
}

export interface TestServer {
  app: FastifyInstance
  /** Looks at the rows, on every engine. */
  db: Db
  /** The option `database`. The type is right for tests that run on better-sqlite3 alone; on other engines it is the engine's own. */
  database: Database.Database
  /** Transactions that are still open, and changed settings. Empty if there are none. */
  leftovers: () => Promise<object>
  /** Posts a value as JSON, with the credentials of `ann`. Given headers replace these credentials. */
  update: (body: unknown, headers?: Record<string, string>) => Promise<LightMyRequestResponse>
  /** Posts a text or bytes as they are, with the content type of JSON and the credentials of `ann`. Given headers are added. */
  post: (text: string | Buffer | undefined, headers?: Record<string, string>) => Promise<LightMyRequestResponse>
}

export interface Setup extends Partial<Omit<OmnichannelContactsOptions, 'database'>> {
  database?: Database.Database
  server?: FastifyServerOptions
  /** On PostgreSQL: settings of the plugin's pool and its sessions. */
  pool?: PoolSettings
  /** What the host does before it registers the plugin. */
  host?: (app: FastifyInstance, testServer: Pick<TestServer, 'db' | 'database'>) => void | Promise<void>
  /** What the host does after that, before the server is ready. */
  afterRegister?: (app: FastifyInstance, testServer: Pick<TestServer, 'db' | 'database'>) => void | Promise<void>
}

export async function build (t: Test, { server, host, afterRegister, pool, ...options }: Setup = {}): Promise<TestServer> {
  const { close, ...opened } = options.database === undefined ? await openDatabase(t, pool) : openSqlite(options.database)
  const { db } = opened
  const database = opened.database as Database.Database
  // Other test files may hold the lock of migrations for longer than a short lockTimeout.
  if (host === undefined && Number(options.lockTimeout) < 1000 && dialectOf(t) === 'postgres') await db.exec(schemaOfPostgres)
  const app = fastify(server)
  t.teardown(async () => {
    await app.close()
    await close()
  })
  await host?.(app, { db, database })
  await app.register(omnichannelContacts, { ...options, database })
  await afterRegister?.(app, { db, database })
  await app.ready()
  await fill(db)
  const post: TestServer['post'] = async (payload, headers = {}) => await app.inject({
    method: 'POST', url: path, headers: { 'content-type': 'application/json', ...as('ann'), ...headers }, ...payload !== undefined && { payload }
  })
  return {
    ...opened,
    app,
    database,
    post,
    update: async (body, headers = as('ann')) => await app.inject({
      method: 'POST', url: path, headers: { 'content-type': 'application/json', ...headers }, payload: JSON.stringify(body)
    })
  }
}

/** Begins a transaction of the host that blocks updates of maria. */
export async function lockMaria (db: Db): Promise<void> {
  await db.exec("BEGIN; UPDATE omnichannel_contact SET name = name WHERE id = 'maria'")
}

/**
 * Adds users, contacts and their rows, unless they are there already.
 *
 * Users: ann and bob (agents), mia (manager), adam (admin), nick (no role), ina (agent, inactive).
 * Contacts: maria, blank (without a name), gone (disabled).
 */
export async function fill (db: Db): Promise<void> {
  const users: Record<string, string | null> = {
    ann: 'livechat-agent', bob: 'livechat-agent', mia: 'livechat-manager', adam: 'admin', nick: null, ina: 'livechat-agent'
  }
  for (const [id, role] of Object.entries(users)) {
    // In some tests omnichannel_user is a view. SQLite has no ON CONFLICT for a view.
    await db.exec(`INSERT INTO omnichannel_user (id, username, name, active)
      SELECT $1, $1, $1, ${id !== 'ina'} WHERE NOT EXISTS (SELECT 1 FROM omnichannel_user WHERE id = $1)`, id)
    if (role !== null) await db.exec('INSERT INTO omnichannel_user_role (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING', id, role)
    await db.exec('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING', hashToken(`token-of-${id}`), id)
  }
  await db.exec(`
    INSERT INTO omnichannel_contact
      (id, name, contact_manager, custom_fields, conflicting_fields, unknown, pre_registration, last_chat_id, last_chat_at, created_at, updated_at)
    VALUES ('maria', 'Maria', 'bob', '{"plan":"gold","legacy":"kept"}',
      '[{"field":"name","value":"Mary"},{"field":"customFields.plan","value":"silver"}]', TRUE, FALSE,
      'room-1', '2026-01-02T03:04:05.678Z', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_contact (id, name, unknown, created_at, updated_at)
    VALUES ('blank', '', TRUE, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_contact (id, name, enabled) VALUES ('gone', 'Gone', FALSE) ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_contact_email VALUES ('maria', 0, 'maria@example.com'), ('maria', 1, 'm@example.org') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_contact_phone VALUES ('maria', 0, '+49 30 1') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_contact_channel
      (contact_id, position, name, visitor_id, source_type, source_id, verified, verified_at, field, value, details, last_chat_id, last_chat_at)
    VALUES
      ('maria', 0, 'Widget', 'visitor-1', 'widget', NULL, FALSE, NULL, NULL, NULL, '{"type":"widget","label":"Site"}', 'room-1', '2026-01-02T03:04:05.678Z'),
      ('maria', 1, 'SMS', 'visitor-2', 'sms', 'twilio', TRUE, '2026-01-02T00:00:00.000Z', 'phone', '+49 30 1', '{}', NULL, NULL) ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_custom_field (id, label, required, regexp, visibility, scope) VALUES
      ('plan', 'Plan', TRUE, '^(gold|silver)$', 'visible', 'visitor'),
      ('note', '', FALSE, '', 'visible', 'visitor'),
      ('secret', 'Secret', TRUE, '', 'hidden', 'visitor'),
      ('topic', 'Topic', TRUE, '', 'visible', 'room') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_room (id, contact_id, fname, updated_at) VALUES
      ('room-1', 'maria', 'Maria', '2026-01-01T00:00:00.000Z'), ('room-2', 'maria', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('room-3', 'blank', '', '2026-01-01T00:00:00.000Z') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_subscription (id, room_id, visitor_id, name, fname, updated_at) VALUES
      ('sub-1', 'room-1', 'visitor-1', 'Maria', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('sub-2', 'room-2', 'visitor-2', 'Maria', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('sub-3', 'room-9', 'visitor-9', 'Other', 'Other', '2026-01-01T00:00:00.000Z') ON CONFLICT DO NOTHING;
    INSERT INTO omnichannel_inquiry (id, room_id, visitor_id, name, updated_at) VALUES
      ('inq-1', 'room-1', 'visitor-1', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('inq-9', 'room-9', 'visitor-9', 'Other', '2026-01-01T00:00:00.000Z') ON CONFLICT DO NOTHING;
  `)
}

/** All rows of all our tables, to show that a refusal changed nothing. */
export async function allRows (db: Db): Promise<Record<string, Row[]>> {
  const all: Record<string, Row[]> = {}
  for (const table of await db.tables()) {
    if (table.startsWith('omnichannel_')) all[table] = await db.rows(`SELECT * FROM ${table} ORDER BY 1, 2`)
  }
  return all
}

export async function rowOfMaria (db: Db): Promise<Row | undefined> {
  return await db.row("SELECT * FROM omnichannel_contact WHERE id = 'maria'")
}

/**
 * The differences between two results of `allRows`, by table and primary key, such as `contact_email maria 0`: the changed columns of a
 * changed row, the whole of a new row, and `deleted` for a deleted row. A changed `updated_at` is `changed`. `update_id` is left out.
 */
export function changes (before: Record<string, Row[]>, after: Record<string, Row[]>): Record<string, unknown> {
  const [oldRows, newRows] = [byKey(before), byKey(after)]
  const differences: Record<string, unknown> = {}
  for (const [key, oldRow] of oldRows) {
    const newRow = newRows.get(key)
    const difference = newRow === undefined ? 'deleted' : changedColumns(oldRow, newRow)
    if (Object.keys(difference).length > 0) differences[key] = difference
  }
  for (const [key, newRow] of newRows) if (!oldRows.has(key)) differences[key] = newRow
  return differences
}

function changedColumns (oldRow: Row, newRow: Row): Row {
  const changed = Object.entries(newRow).filter(([column, value]) => value !== oldRow[column] && column !== 'update_id')
  return Object.fromEntries(changed.map(([column, value]) => [column, column === 'updated_at' ? 'changed' : value]))
}

function byKey (tables: Record<string, Row[]>): Map<string, Row> {
  return new Map(Object.entries(tables).flatMap(([table, list]) =>
    list.map((row) => [`${table.replace('omnichannel_', '')} ${primaryKeyOf(row)}`, row])))
}

function primaryKeyOf (row: Row): string {
  if ('id' in row) return String(row.id)
  if ('position' in row) return `${String(row.contact_id)} ${row.position}`
  // The statistics have a name and a value. All columns of the remaining tables are a key.
  return 'value' in row ? String(row.name) : Object.values(row).join(' ')
}
