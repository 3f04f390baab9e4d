// docs/contract.md as a simple program over rows in memory, written independently of src.

import { Ajv2020 } from 'ajv/dist/2020.js'

/** Parsed JSON of any shape. */
export type Loose = ReturnType<typeof JSON.parse>
export type Rows = Record<string, Loose[]>

/** The expected answer, and the rows afterwards. */
export interface Outcome {
  status: number
  etag: string | undefined
  /** `Idempotency-Replayed`, which only reference-headers.ts sets. */
  replayed: string | undefined
  body: Loose
  rows: Rows
}

const ajv = new Ajv2020({ coerceTypes: true })
const list = { type: 'array', items: { type: 'string' }, nullable: true }
const keys = {
  contactId: { type: 'string' },
  name: { type: 'string' },
  emails: list,
  phones: list,
  customFields: { type: 'object', nullable: true },
  contactManager: { type: 'string', nullable: true },
  wipeConflicts: { type: 'boolean', nullable: true }
}
const outline = ajv.compile<Loose>({
  type: 'object',
  properties: Object.fromEntries(Object.keys(keys).map((key) => [key, {}])),
  required: ['contactId'],
  additionalProperties: false
})
const parts = Object.entries(keys).map(([key, schema]) => [key, ajv.compile<Loose>({ type: 'object', properties: { [key]: schema } })] as const)

/** Section 3: coerces the body and returns its first error. Ajv's uniqueItems is not used, because it overlooks a second "__proto__". */
export function findFault (body: Loose): string | undefined {
  if (!outline(body)) return outline.errors![0]!.message
  for (const [key, validate] of parts) {
    if (!validate(body)) return validate.errors![0]!.message
    const items = Array.isArray(body[key]) ? (body[key] as string[]).map((item) => item.toWellFormed()) : []
    for (let i = items.length - 1; i >= 0; i--) {
      const j = items.indexOf(items[i] as string, i + 1)
      if (j !== -1) return `must NOT have duplicate items (items ## ${j} and ${i} are identical)`
    }
  }
  return undefined
}

/** Expects JSON columns to be parsed. Changed times become `now`. */
export function predict (before: Rows, sent: unknown, now = 'changed'): Outcome {
  const refuse = (error: string, rest: object = {}): Outcome =>
    ({ status: 400, etag: undefined, replayed: undefined, body: { success: false, error, ...rest }, rows: before })

  const body = JSON.parse(JSON.stringify(sent))
  const fault = findFault(body)
  if (fault !== undefined) return refuse(`${fault} [invalid-params]`, { errorType: 'invalid-params' })

  const rows = structuredClone(before)
  const all = (table: string): Loose[] => rows[`omnichannel_${table}`]!
  const { contactId, name, emails, phones, customFields, contactManager, wipeConflicts } = body

  const contact = all('contact').find((row) => row.id === contactId && row.enabled === 1)
  if (contact === undefined) return refuse('error-contact-not-found')

  if (contactManager != null && contactManager !== '') {
    const isUser = all('user').some((user) => user.id === contactManager)
    const isAgent = all('user_role').some((held) => held.user_id === contactManager && held.role === 'livechat-agent')
    if (!isUser || !isAgent) return refuse('error-contact-manager-not-found')
  }

  let merged: Map<string, unknown> | undefined
  if (customFields != null) {
    const given = new Map<string, Loose>(Object.entries(customFields as object))
    const stored = new Map<string, Loose>(Object.entries(contact.custom_fields as object))
    const allowed = all('custom_field').filter((field) => field.scope === 'visitor' && field.visibility !== 'hidden')
    merged = new Map()
    for (const { id, label, required, regexp } of allowed) {
      const value = given.get(id) ?? ''
      const text = String(value).trim()
      if (typeof value === 'object' || (text === '' ? required === 1 : !fits(regexp, text))) {
        return refuse(`Invalid value for ${label === '' ? id : label} field`)
      }
      if (text !== '') merged.set(id, text)
    }
    const isAllowed = (key: string): boolean => allowed.some((field) => field.id === key)
    for (const key of given.keys()) {
      if (!isAllowed(key) && !stored.has(key)) return refuse(`Custom field ${key} is not allowed`)
    }
    for (const [key, value] of stored) if (!isAllowed(key)) merged.set(key, value)
  }

  if (name === '' && contact.name !== '') return refuse('error-invalid-operation')

  if (name !== undefined || emails != null || phones != null || merged !== undefined || contactManager != null || wipeConflicts === true) {
    const renamed = name !== undefined && name.toWellFormed() !== contact.name
    Object.assign(contact, { unknown: 0, version: Number(contact.version) + 1, updated_at: now, update_id: now })
    if (name !== undefined) contact.name = name.toWellFormed()
    if (contactManager != null) contact.contact_manager = contactManager === '' ? null : contactManager
    if (merged !== undefined) contact.custom_fields = Object.fromEntries(merged)
    for (const [table, column, values] of [['contact_email', 'address', emails], ['contact_phone', 'phone_number', phones]] as const) {
      if (values == null) continue
      rows[`omnichannel_${table}`] = all(table).filter((row) => row.contact_id !== contactId).concat(
        values.map((value: string, position: number) => ({ contact_id: contactId, position, [column]: value.toWellFormed() })))
    }
    if (wipeConflicts === true && contact.conflicting_fields.length > 0) {
      const name = 'Resolved_Conflicts_Count'
      const value = Number(all('statistic').find((row) => row.name === name)?.value ?? 0) + Number(contact.conflicting_fields.length)
      rows.omnichannel_statistic = [...all('statistic').filter((row) => row.name !== name), { name, value }]
      contact.conflicting_fields = []
    }
    if (renamed) {
      const visitors = all('contact_channel').filter((row) => row.contact_id === contactId).map((row) => row.visitor_id)
      const carry = (row: Loose, columns: object): void => { Object.assign(row, columns, { updated_at: now }) }
      for (const row of all('room')) if (row.contact_id === contactId) carry(row, { fname: contact.name })
      for (const row of all('subscription')) if (visitors.includes(row.visitor_id)) carry(row, { name: contact.name, fname: contact.name })
      for (const row of all('inquiry')) if (visitors.includes(row.visitor_id)) carry(row, { name: contact.name })
    }
  }
  return { status: 200, etag: `"${contact.version}"`, replayed: undefined, body: { contact: present(rows, contact), success: true }, rows }
}

function fits (regexp: string, text: string): boolean {
  try {
    return new RegExp(regexp).test(text)
  } catch {
    return false
  }
}

/** Section 7. Absent values are left out. */
function present (rows: Rows, contact: Loose): Loose {
  const of = (table: string): Loose[] => rows[`omnichannel_contact_${table}`]!.filter((row) => row.contact_id === contact.id)
  const chat = (row: Loose): Loose => row.last_chat_id === null ? undefined : { _id: row.last_chat_id, ts: row.last_chat_at }
  const channels = of('channel').map((row) => ({
    name: row.name,
    visitor: { visitorId: row.visitor_id, source: { type: row.source_type, id: row.source_id ?? undefined } },
    blocked: row.blocked === 1,
    verified: row.verified === 1,
    details: { type: row.source_type, ...row.details },
    field: row.field ?? undefined,
    value: row.value ?? undefined,
    verifiedAt: row.verified_at ?? undefined,
    lastChat: chat(row)
  }))
  return JSON.parse(JSON.stringify({
    _id: contact.id,
    createdAt: contact.created_at,
    _updatedAt: contact.updated_at,
    name: contact.name,
    emails: of('email').map(({ address }) => ({ address })),
    phones: of('phone').map((row) => ({ phoneNumber: row.phone_number })),
    channels,
    customFields: contact.custom_fields,
    unknown: contact.unknown === 1,
    preRegistration: contact.pre_registration === 1,
    conflictingFields: contact.conflicting_fields,
    lastChat: chat(contact),
    contactManager: contact.contact_manager ?? undefined
  }))
}
