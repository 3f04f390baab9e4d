// One server on one database for each test, filled with the same small world, and gone when the test is.

import Database from 'better-sqlite3'
import fastify, { type FastifyInstance, type FastifyServerOptions, type LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import omnichannelContacts, { hashToken, type OmnichannelContactsOptions } from '../src/index.js'
import { engineOf } from './engines.js'
import { openSchema, type PoolSettings } from './postgres-handle.js'

export const path = '/api/v1/omnichannel/contacts.update'

/** The headers of a user of the world: its id, and a token that is `token-of-<id>`. */
export function as (userId: string): Record<string, string> {
  return { 'x-user-id': userId, 'x-auth-token': `token-of-${userId}` }
}

export interface World {
  app: FastifyInstance
  database: Database.Database
  /** Posts a JSON body as the agent `ann`, or with other headers. */
  update: (body: unknown, headers?: Record<string, string>) => Promise<LightMyRequestResponse>
  /** Posts a text as it is, as `ann`, as JSON unless the headers say otherwise. */
  post: (text: string | Buffer | undefined, headers?: Record<string, string>) => Promise<LightMyRequestResponse>
}

export interface Setup extends Partial<Omit<OmnichannelContactsOptions, 'database'>> {
  database?: Database.Database
  server?: FastifyServerOptions
  /** Of the pool that the plugin is given, and of its sessions, where the engine is PostgreSQL. */
  pool?: PoolSettings
  /** Runs before the plugin is registered. */
  host?: (app: FastifyInstance, database: Database.Database) => void | Promise<void>
  /** Runs after the plugin is registered, before the server is ready. */
  late?: (app: FastifyInstance, database: Database.Database) => void | Promise<void>
}

export async function build (t: Test, { server, host, late, pool, ...options }: Setup = {}): Promise<World> {
  const { database, given, close } = await open(t, options.database, pool)
  const app = fastify(server)
  t.teardown(async () => {
    await app.close()
    await close()
  })
  await host?.(app, database)
  await app.register(omnichannelContacts, { ...options, database: given })
  await late?.(app, database)
  await app.ready()
  fill(database)
  const post: World['post'] = async (payload, headers = {}) => await app.inject({
    method: 'POST', url: path, headers: { 'content-type': 'application/json', ...as('ann'), ...headers }, ...payload !== undefined && { payload }
  })
  return {
    app,
    database,
    post,
    update: async (body, headers = as('ann')) => await app.inject({
      method: 'POST', url: path, headers: { 'content-type': 'application/json', ...headers }, payload: JSON.stringify(body)
    })
  }
}

/** Begins a transaction of the host's for which an update of maria has to wait. */
export function hold (database: Database.Database): void {
  database.exec("BEGIN; UPDATE omnichannel_contact SET name = name WHERE id = 'maria'")
}

interface Opened {
  /** How the test looks at the database, whichever it is. */
  database: Database.Database
  /** What the plugin is given. */
  given: OmnichannelContactsOptions['database']
  close: () => Promise<void>
}

async function open (t: Test, own: Database.Database | undefined, pool: PoolSettings | undefined): Promise<Opened> {
  if (own === undefined && engineOf(t) === 'postgres') return await openSchema(pool)
  const database = own ?? new Database(':memory:')
  return { database, given: database, close: async () => { database.close() } }
}

/** Users ann and bob (agents), mia (manager), adam (admin), nick (no role), ina (agent, inactive); contacts maria and blank. */
export function fill (database: Database.Database): void {
  const addUser = database.prepare('INSERT OR IGNORE INTO omnichannel_user (id, username, name, active) VALUES (?, ?, ?, ?)')
  const addRole = database.prepare('INSERT OR IGNORE INTO omnichannel_user_role (user_id, role) VALUES (?, ?)')
  const addToken = database.prepare('INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)')
  const users: Record<string, string | null> = {
    ann: 'livechat-agent', bob: 'livechat-agent', mia: 'livechat-manager', adam: 'admin', nick: null, ina: 'livechat-agent'
  }
  for (const [id, role] of Object.entries(users)) {
    addUser.run(id, id, id, id === 'ina' ? 0 : 1)
    if (role !== null) addRole.run(id, role)
    addToken.run(hashToken(`token-of-${id}`), id)
  }
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_contact
      (id, name, contact_manager, custom_fields, conflicting_fields, unknown, pre_registration, last_chat_id, last_chat_at, created_at, updated_at)
    VALUES ('maria', 'Maria', 'bob', '{"plan":"gold","legacy":"kept"}',
      '[{"field":"name","value":"Mary"},{"field":"customFields.plan","value":"silver"}]', 1, 0,
      'room-1', '2026-01-02T03:04:05.678Z', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');
    INSERT OR IGNORE INTO omnichannel_contact (id, name, unknown, created_at, updated_at)
    VALUES ('blank', '', 1, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');
    INSERT OR IGNORE INTO omnichannel_contact (id, name, enabled) VALUES ('gone', 'Gone', 0);
    INSERT OR IGNORE INTO omnichannel_contact_email VALUES ('maria', 0, 'maria@example.com'), ('maria', 1, 'm@example.org');
    INSERT OR IGNORE INTO omnichannel_contact_phone VALUES ('maria', 0, '+49 30 1');
    INSERT OR IGNORE INTO omnichannel_contact_channel
      (contact_id, position, name, visitor_id, source_type, source_id, verified, verified_at, field, value, details, last_chat_id, last_chat_at)
    VALUES
      ('maria', 0, 'Widget', 'visitor-1', 'widget', NULL, 0, NULL, NULL, NULL, '{"type":"widget","label":"Site"}', 'room-1', '2026-01-02T03:04:05.678Z'),
      ('maria', 1, 'SMS', 'visitor-2', 'sms', 'twilio', 1, '2026-01-02T00:00:00.000Z', 'phone', '+49 30 1', '{}', NULL, NULL);
    INSERT OR IGNORE INTO omnichannel_custom_field (id, label, required, regexp, visibility, scope) VALUES
      ('plan', 'Plan', 1, '^(gold|silver)$', 'visible', 'visitor'),
      ('note', '', 0, '', 'visible', 'visitor'),
      ('secret', 'Secret', 1, '', 'hidden', 'visitor'),
      ('topic', 'Topic', 1, '', 'visible', 'room');
    INSERT OR IGNORE INTO omnichannel_room (id, contact_id, fname, updated_at) VALUES
      ('room-1', 'maria', 'Maria', '2026-01-01T00:00:00.000Z'), ('room-2', 'maria', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('room-3', 'blank', '', '2026-01-01T00:00:00.000Z');
    INSERT OR IGNORE INTO omnichannel_subscription (id, room_id, visitor_id, name, fname, updated_at) VALUES
      ('sub-1', 'room-1', 'visitor-1', 'Maria', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('sub-2', 'room-2', 'visitor-2', 'Maria', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('sub-3', 'room-9', 'visitor-9', 'Other', 'Other', '2026-01-01T00:00:00.000Z');
    INSERT OR IGNORE INTO omnichannel_inquiry (id, room_id, visitor_id, name, updated_at) VALUES
      ('inq-1', 'room-1', 'visitor-1', 'Maria', '2026-01-01T00:00:00.000Z'),
      ('inq-9', 'room-9', 'visitor-9', 'Other', '2026-01-01T00:00:00.000Z');
  `)
}

/** All rows of all our tables, to show that a refusal changed nothing. */
export function rows (database: Database.Database): Record<string, unknown[]> {
  const tables = database.prepare<[], string>(
    `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'omnichannel\\_%' ESCAPE '\\' ORDER BY name`).pluck().all()
  return Object.fromEntries(tables.map((table) => [table, database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all()]))
}

type Row = Record<string, unknown>

/**
 * What differs between two calls of `rows`: a changed row by the columns that changed, a new one whole, `gone` for one
 * that is no more. A time of an update that moved is `moved`; the id of an update is left out.
 */
export function changes (before: Record<string, unknown[]>, after: Record<string, unknown[]>): Record<string, unknown> {
  const [old, current] = [before, after].map((all) => new Map(Object.entries(all).flatMap(([table, list]) =>
    (list as Row[]).map((row) => [`${table.replace('omnichannel_', '')} ${nameOf(row)}`, row] as const)))) as [Map<string, Row>, Map<string, Row>]
  const differences = [...new Set([...old.keys(), ...current.keys()])].map((key) => {
    const [was, is] = [old.get(key), current.get(key)]
    if (was === undefined || is === undefined) return [key, is ?? 'gone'] as const
    const changed = Object.entries(is).filter(([column, value]) => value !== was[column] && column !== 'update_id')
    return [key, Object.fromEntries(changed.map(([column, value]) =>
      [column, column === 'updated_at' ? 'moved' : value]))] as const
  })
  return Object.fromEntries(differences.filter(([, change]) => Object.keys(change).length > 0))
}

function nameOf (row: Row): string {
  if ('id' in row) return String(row.id)
  if ('position' in row) return `${String(row.contact_id)} ${row.position}`
  return 'value' in row ? String(row.name) : Object.values(row).join(' ')
}
