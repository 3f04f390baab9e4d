// The types of the plugin's tables, for Kysely. schema.sql and schema.postgres.sql say what each column means.

import type { ColumnType, Generated, InsertType, Selectable, SelectType, UpdateType } from 'kysely'

/**
 * The plugin's tables on SQLite, for a {@link https://kysely.dev Kysely} of your own: booleans are 0 and 1, times and JSON are text.
 *
 * @example
 * ```ts
 * const db = new Kysely<SqliteTables & MyTables>({ dialect: new SqliteDialect({ database }) })
 * await db.insertInto('omnichannel_contact').values({ id: 'maria', name: 'Maria' }).execute()
 * ```
 */
export type SqliteTables = TablesOf<SqliteTypes>

/**
 * The plugin's tables on PostgreSQL, for a {@link https://kysely.dev Kysely} of your own, with the values that `pg` reads by
 * default. JSON is written as text.
 *
 * @example
 * ```ts
 * const db = new Kysely<PostgresTables & MyTables>({ dialect: new PostgresDialect({ pool }) })
 * const { updated_at } = await db.selectFrom('omnichannel_contact').select('updated_at').executeTakeFirstOrThrow()
 * console.log(updated_at.getFullYear())
 * ```
 */
export interface PostgresTables extends TablesOf<PostgresTypes> {
  /** Sorted by `position`, because PostgreSQL has no rowid. */
  omnichannel_custom_field: TablesOf<PostgresTypes>['omnichannel_custom_field'] & { position: WithDefault<PostgresTypes['bigint']> }
}

/** The tables as the queries see them. On PostgreSQL, codec.ts converts the values to those of SQLite. */
export type Tables = SqliteTables
export type ContactRow = Omit<Selectable<Tables['omnichannel_contact']>, 'enabled'>
export type ChannelRow = Omit<Selectable<Tables['omnichannel_contact_channel']>, 'contact_id' | 'position'>

/** Where a visitor of a channel comes from. */
export const SOURCE_TYPES = ['widget', 'email', 'sms', 'app', 'api', 'other'] as const
export type SourceType = typeof SOURCE_TYPES[number]

// The types of values that differ between the drivers.

interface SqliteTypes {
  boolean: number
  time: string
  bigint: number
  object: string
  conflicts: string
}

interface PostgresTypes {
  boolean: boolean
  time: ColumnType<Date, Date | string, Date | string>
  bigint: ColumnType<string, string | number | bigint, string | number | bigint>
  object: ColumnType<Record<string, unknown>, string, string>
  conflicts: ColumnType<Array<{ field: string, value: string }>, string, string>
}

/** Like Kysely's `Generated`, but for a column that is a `ColumnType` already. */
type WithDefault<Column> = ColumnType<SelectType<Column>, InsertType<Column> | undefined, UpdateType<Column>>
type Nullable<Column> = ColumnType<SelectType<Column> | null, InsertType<Column> | null, UpdateType<Column> | null>

interface TablesOf<T extends SqliteTypes | PostgresTypes> {
  omnichannel_user: {
    id: string
    username: Generated<string>
    name: Generated<string>
    active: WithDefault<T['boolean']>
  }
  omnichannel_user_role: { user_id: string, role: string }
  omnichannel_role_permission: { role: string, permission: string }
  omnichannel_auth_token: {
    hashed_token: string
    user_id: string
    name: Generated<string>
    created_at: WithDefault<T['time']>
    expires_at: Nullable<T['time']>
  }
  omnichannel_custom_field: {
    id: string
    label: Generated<string>
    scope: Generated<string>
    visibility: Generated<string>
    required: WithDefault<T['boolean']>
    regexp: Generated<string>
  }
  omnichannel_contact: {
    id: string
    name: string
    contact_manager: string | null
    custom_fields: WithDefault<T['object']>
    conflicting_fields: WithDefault<T['conflicts']>
    unknown: WithDefault<T['boolean']>
    pre_registration: WithDefault<T['boolean']>
    last_chat_id: string | null
    last_chat_at: Nullable<T['time']>
    enabled: WithDefault<T['boolean']>
    version: Generated<number>
    created_at: WithDefault<T['time']>
    updated_at: WithDefault<T['time']>
    update_id: string | null
  }
  omnichannel_contact_email: { contact_id: string, position: number, address: string }
  omnichannel_contact_phone: { contact_id: string, position: number, phone_number: string }
  omnichannel_contact_channel: {
    contact_id: string
    position: number
    name: string
    visitor_id: string
    source_type: SourceType
    source_id: string | null
    blocked: WithDefault<T['boolean']>
    verified: WithDefault<T['boolean']>
    verified_at: Nullable<T['time']>
    field: string | null
    value: string | null
    details: WithDefault<T['object']>
    last_chat_id: string | null
    last_chat_at: Nullable<T['time']>
  }
  omnichannel_room: {
    id: string
    contact_id: string
    fname: Generated<string>
    updated_at: WithDefault<T['time']>
  }
  omnichannel_subscription: {
    id: string
    room_id: Generated<string>
    visitor_id: string
    name: Generated<string>
    fname: Generated<string>
    updated_at: WithDefault<T['time']>
  }
  omnichannel_inquiry: {
    id: string
    room_id: Generated<string>
    visitor_id: string
    name: Generated<string>
    updated_at: WithDefault<T['time']>
  }
  omnichannel_statistic: { name: string, value: WithDefault<T['bigint']> }
  omnichannel_idempotency_key: {
    user_id: string
    key: string
    fingerprint: string
    contact_id: string
    version: number
    answer: string
    created_at: WithDefault<T['time']>
  }
  omnichannel_migration: { id: number, applied_at: WithDefault<T['time']> }
}
