// docs/contract.md as a simple program over rows in memory, written independently of src.

import { Ajv2020 } from 'ajv/dist/2020.js'

/** Parsed JSON: `any`. */
export type Json = ReturnType<typeof JSON.parse>
/** The rows of all tables, by the name of the table. JSON columns are parsed. */
export type Rows = Record<string, Json[]>

/** The expected answer, and the rows afterwards. */
export interface Outcome {
  status: number
  etag: string | undefined
  /** `Idempotency-Replayed`, which only reference-headers.ts sets. */
  replayed: string | undefined
  body: Json
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
/** Checks the names of the keys, but not their values. */
const validateKeys = ajv.compile<Json>({
  type: 'object',
  properties: Object.fromEntries(Object.keys(keys).map((key) => [key, {}])),
  required: ['contactId'],
  additionalProperties: false
})
/** One function for each key. It checks and coerces only that key's value. */
const validators = Object.entries(keys).map(([key, schema]) => [key, ajv.compile<Json>({ type: 'object', properties: { [key]: schema } })] as const)

/** Section 3: coerces the body and returns its first error. Ajv's uniqueItems is not used, because it overlooks a second "__proto__". */
export function coerceAndValidate (body: Json): string | undefined {
  if (!validateKeys(body)) return validateKeys.errors![0]!.message
  for (const [key, validate] of validators) {
    if (!validate(body)) return validate.errors![0]!.message
    const items = Array.isArray(body[key]) ? (body[key] as string[]).map((item) => item.toWellFormed()) : []
    for (const [index, item] of [...items.entries()].reverse()) {
      const laterIndex = items.indexOf(item, index + 1)
      if (laterIndex !== -1) return `must NOT have duplicate items (items ## ${laterIndex} and ${index} are identical)`
    }
  }
  return undefined
}

/** The outcome of an update without the headers of section 10. Its time and its id become `now`. */
export function predict (before: Rows, sent: unknown, now = 'changed'): Outcome {
  const refuse = (error: string, rest: object = {}): Outcome =>
    ({ status: 400, etag: undefined, replayed: undefined, body: { success: false, error, ...rest }, rows: before })

  const body = JSON.parse(JSON.stringify(sent))
  const bodyError = coerceAndValidate(body)
  if (bodyError !== undefined) return refuse(`${bodyError} [invalid-params]`, { errorType: 'invalid-params' })

  const rows = structuredClone(before)
  const rowsOf = (table: string): Json[] => rows[`omnichannel_${table}`]!
  // contactId and name are texts now. Any other key may also be null, which counts as absent.
  const { contactId, name, emails, phones, customFields, contactManager, wipeConflicts } = body

  const contact = rowsOf('contact').find((row) => row.id === contactId && row.enabled === 1)
  if (contact === undefined) return refuse('error-contact-not-found')

  if (contactManager != null && contactManager !== '') {
    const isUser = rowsOf('user').some((user) => user.id === contactManager)
    const isAgent = rowsOf('user_role').some((row) => row.user_id === contactManager && row.role === 'livechat-agent')
    if (!isUser || !isAgent) return refuse('error-contact-manager-not-found')
  }

  const fields = customFields == null ? undefined : mergeFields(rowsOf('custom_field'), contact.custom_fields as object, customFields as object)
  if (typeof fields === 'string') return refuse(fields)
  if (name === '' && contact.name !== '') return refuse('error-invalid-operation')

  if (name !== undefined || emails != null || phones != null || fields !== undefined || contactManager != null || wipeConflicts === true) {
    const isRenamed = name !== undefined && name.toWellFormed() !== contact.name
    Object.assign(contact, { unknown: 0, version: Number(contact.version) + 1, updated_at: now, update_id: now })
    if (name !== undefined) contact.name = name.toWellFormed()
    if (contactManager != null) contact.contact_manager = contactManager === '' ? null : contactManager
    if (fields !== undefined) contact.custom_fields = Object.fromEntries(fields)
    if (emails != null) rows.omnichannel_contact_email = replaceList(rowsOf('contact_email'), contactId, 'address', emails)
    if (phones != null) rows.omnichannel_contact_phone = replaceList(rowsOf('contact_phone'), contactId, 'phone_number', phones)
    if (wipeConflicts === true && contact.conflicting_fields.length > 0) {
      rows.omnichannel_statistic = addToStatistic(rowsOf('statistic'), 'Resolved_Conflicts_Count', contact.conflicting_fields.length)
      contact.conflicting_fields = []
    }
    if (isRenamed) {
      const visitors = rowsOf('contact_channel').filter((row) => row.contact_id === contactId).map((row) => row.visitor_id)
      const change = (row: Json, columns: object): void => { Object.assign(row, columns, { updated_at: now }) }
      for (const row of rowsOf('room')) if (row.contact_id === contactId) change(row, { fname: contact.name })
      for (const row of rowsOf('subscription')) if (visitors.includes(row.visitor_id)) change(row, { name: contact.name, fname: contact.name })
      for (const row of rowsOf('inquiry')) if (visitors.includes(row.visitor_id)) change(row, { name: contact.name })
    }
  }
  return { status: 200, etag: `"${contact.version}"`, replayed: undefined, body: { contact: toContact(rows, contact), success: true }, rows }
}

/** The rows of a table of e-mails or phones, with a new list for one contact. */
function replaceList (rows: Json[], contactId: string, column: string, values: string[]): Json[] {
  const newRows = values.map((value, position) => ({ contact_id: contactId, position, [column]: value.toWellFormed() }))
  return [...rows.filter((row) => row.contact_id !== contactId), ...newRows]
}

function addToStatistic (rows: Json[], name: string, count: number): Json[] {
  const oldValue = Number(rows.find((row) => row.name === name)?.value ?? 0)
  return [...rows.filter((row) => row.name !== name), { name, value: oldValue + count }]
}

/** Section 6: the custom fields to store, or the error. */
function mergeFields (definitions: Json[], storedFields: object, sentFields: object): Map<string, unknown> | string {
  const sent = new Map<string, Json>(Object.entries(sentFields))
  const stored = new Map<string, Json>(Object.entries(storedFields))
  const allowed = definitions.filter((field) => field.scope === 'visitor' && field.visibility !== 'hidden')
  const merged = new Map<string, unknown>()
  for (const { id, label, required, regexp } of allowed) {
    const value = sent.get(id) ?? ''
    const text = String(value).trim()
    const isValid = typeof value !== 'object' && (text === '' ? required !== 1 : matches(regexp, text))
    if (!isValid) return `Invalid value for ${label === '' ? id : label} field`
    if (text !== '') merged.set(id, text)
  }
  const isAllowed = (key: string): boolean => allowed.some((field) => field.id === key)
  for (const key of sent.keys()) {
    if (!isAllowed(key) && !stored.has(key)) return `Custom field ${key} is not allowed`
  }
  for (const [key, value] of stored) if (!isAllowed(key)) merged.set(key, value)
  return merged
}

function matches (regexp: string, text: string): boolean {
  try {
    return new RegExp(regexp).test(text)
  } catch {
    return false
  }
}

/** Section 7: the contact in the answer. JSON.stringify leaves out what is undefined. */
function toContact (rows: Rows, contact: Json): Json {
  const rowsOfContact = (table: string): Json[] => rows[`omnichannel_contact_${table}`]!.filter((row) => row.contact_id === contact.id)
  const lastChatOf = (row: Json): Json => row.last_chat_id === null ? undefined : { _id: row.last_chat_id, ts: row.last_chat_at }
  const channels = rowsOfContact('channel').map((row) => ({
    name: row.name,
    visitor: { visitorId: row.visitor_id, source: { type: row.source_type, id: row.source_id ?? undefined } },
    blocked: row.blocked === 1,
    verified: row.verified === 1,
    details: { type: row.source_type, ...row.details },
    field: row.field ?? undefined,
    value: row.value ?? undefined,
    verifiedAt: row.verified_at ?? undefined,
    lastChat: lastChatOf(row)
  }))
  return JSON.parse(JSON.stringify({
    _id: contact.id,
    createdAt: contact.created_at,
    _updatedAt: contact.updated_at,
    name: contact.name,
    emails: rowsOfContact('email').map(({ address }) => ({ address })),
    phones: rowsOfContact('phone').map((row) => ({ phoneNumber: row.phone_number })),
    channels,
    customFields: contact.custom_fields,
    unknown: contact.unknown === 1,
    preRegistration: contact.pre_registration === 1,
    conflictingFields: contact.conflicting_fields,
    lastChat: lastChatOf(contact),
    contactManager: contact.contact_manager ?? undefined
  }))
}
