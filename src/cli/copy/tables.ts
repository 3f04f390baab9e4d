// What is copied: every table, in an order in which references lead to what is there.

import type { QueryConfig } from 'pg'
import { parserOf, toParameter } from '../../store/postgres/codec.js'

type Type = 'text' | 'boolean' | 'integer' | 'bigint' | 'json' | 'timestamptz'

export interface CopiedTable {
  name: string
  /** The rows of the file, in the order of their insertion where that matters. */
  read: string
  /** The same rows of the server, as SQLite gives them. */
  readBack: string
  types: { getTypeParser: typeof parserOf }
  insert: (rows: unknown[][]) => QueryConfig
}

const columns: Record<string, Record<string, Type>> = {
  omnichannel_user: { id: 'text', username: 'text', name: 'text', active: 'boolean' },
  omnichannel_user_role: { user_id: 'text', role: 'text' },
  omnichannel_role_permission: { role: 'text', permission: 'text' },
  omnichannel_auth_token: { hashed_token: 'text', user_id: 'text', name: 'text', created_at: 'timestamptz', expires_at: 'timestamptz' },
  omnichannel_custom_field: { id: 'text', label: 'text', scope: 'text', visibility: 'text', required: 'boolean', regexp: 'text' },
  omnichannel_contact: {
    id: 'text',
    name: 'text',
    contact_manager: 'text',
    custom_fields: 'json',
    conflicting_fields: 'json',
    unknown: 'boolean',
    pre_registration: 'boolean',
    last_chat_id: 'text',
    last_chat_at: 'timestamptz',
    enabled: 'boolean',
    version: 'integer',
    created_at: 'timestamptz',
    updated_at: 'timestamptz'
  },
  omnichannel_contact_email: { contact_id: 'text', position: 'integer', address: 'text' },
  omnichannel_contact_phone: { contact_id: 'text', position: 'integer', phone_number: 'text' },
  omnichannel_contact_channel: {
    contact_id: 'text',
    position: 'integer',
    name: 'text',
    visitor_id: 'text',
    source_type: 'text',
    source_id: 'text',
    blocked: 'boolean',
    verified: 'boolean',
    verified_at: 'timestamptz',
    field: 'text',
    value: 'text',
    details: 'json',
    last_chat_id: 'text',
    last_chat_at: 'timestamptz'
  },
  omnichannel_room: { id: 'text', contact_id: 'text', fname: 'text', updated_at: 'timestamptz' },
  omnichannel_subscription: { id: 'text', room_id: 'text', visitor_id: 'text', name: 'text', fname: 'text', updated_at: 'timestamptz' },
  omnichannel_inquiry: { id: 'text', room_id: 'text', visitor_id: 'text', name: 'text', updated_at: 'timestamptz' },
  omnichannel_statistic: { name: 'text', value: 'bigint' },
  omnichannel_idempotency_key: {
    user_id: 'text', key: 'text', fingerprint: 'text', contact_id: 'text', version: 'integer', answer: 'text', created_at: 'timestamptz'
  }
}

export const tables: CopiedTable[] = Object.entries(columns).map(([name, types]) => {
  const names = Object.keys(types)
  const isOrdered = name === 'omnichannel_custom_field'
  const lists = names.map((_, index) => `$${index + 1}::text[]`)
  const values = Object.entries(types).map(([column, type]) => `copied.${column}::${type}`)
  const text = `INSERT INTO ${name} (${names.join(', ')}) SELECT ${values.join(', ')} ` +
    `FROM unnest(${lists.join(', ')}) WITH ORDINALITY AS copied (${names.join(', ')}, nth) ORDER BY nth`
  const readable = Object.entries(types).map(([column, type]) =>
    type === 'timestamptz' ? `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')` : column)
  return {
    name,
    read: `SELECT ${names.join(', ')} FROM ${name}${isOrdered ? ' ORDER BY rowid' : ''}`,
    readBack: `SELECT ${readable.join(', ')} FROM ${name}`,
    types: { getTypeParser: parserOf },
    insert: (rows) => ({ name: `copy_${name}`, text, values: names.map((_, index) => toParameter(rows.map((row) => row[index] as string | number | null))) })
  }
})
