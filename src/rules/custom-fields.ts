// What may be stored in a contact's customFields. Own properties only: a field called __proto__ or constructor is just a
// name, so keys are tested with Object.hasOwn, and the stored ones stand in a Map.

import { CustomFieldNotAllowedError, InvalidCustomFieldError } from '../errors.js'

/** A definition that counts: of visitors, and not hidden. */
export interface CustomField {
  id: string
  label: string
  required: number
  /** A JavaScript pattern without flags; empty for none. */
  regexp: string
}

/** Whether a text fits a definition's pattern. */
export type Fits = (field: CustomField, text: string) => boolean

type Values = Readonly<Record<string, unknown>>

/**
 * The customFields to store, as JSON text: the sent values of all allowed fields, and what is stored under keys whose
 * definition is gone, character for character.
 *
 * @throws {InvalidCustomFieldError} when a required value is missing, or a value is not a scalar or does not fit
 * @throws {CustomFieldNotAllowedError} when a key is neither allowed nor stored; all values are looked at first
 */
export function mergeCustomFields (allowed: readonly CustomField[], stored: string, sent: Values, fits: Fits): string {
  const merged: Array<[key: string, json: string]> = []
  for (const field of allowed) {
    const text = Object.hasOwn(sent, field.id) ? toText(field, sent[field.id]) : ''
    const valid = text === '' ? field.required === 0 : field.regexp === '' || fits(field, text)
    if (!valid) throw invalidValue(field)
    if (text !== '') merged.push([field.id, JSON.stringify(text)])
  }

  const allowedIds = new Set(allowed.map((field) => field.id))
  const storedMembers = membersBeside(allowedIds, stored)
  for (const key of Object.keys(sent)) {
    if (!allowedIds.has(key) && !storedMembers.has(key)) throw new CustomFieldNotAllowedError(key)
  }
  return `{${[...merged, ...storedMembers].map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(',')}}`
}

const TOKEN = /"(?:[^"\\]+|\\[^])*"|[[\]{}:,]|[^\s"[\]{}:,]+/g

/** The members of a JSON object beside some, with the text of their values: to parse 1e400 or a large integer would be to change it. */
function membersBeside (some: ReadonlySet<string>, json: string): Map<string, string> {
  const members = new Map<string, string>()
  // What is no JSON is not mended in passing.
  if (Object.keys(JSON.parse(json) as object).every((key) => some.has(key))) return members
  let depth = 0
  let before = ''
  let member: { key: string, start: number } | undefined
  for (const { 0: token, index } of json.matchAll(TOKEN)) {
    if (depth === 1 && token === ':') member = { key: JSON.parse(before) as string, start: index + 1 }
    if (depth === 1 && (token === ',' || token === '}') && member !== undefined) {
      if (!some.has(member.key)) members.set(member.key, json.slice(member.start, index).trim())
      member = undefined
    }
    if (token === '{' || token === '[') depth++
    if (token === '}' || token === ']') depth--
    before = token
  }
  return members
}

function toText (field: CustomField, value: unknown): string {
  switch (typeof value) {
    case 'string': return value.trim()
    case 'number':
    case 'boolean': return String(value)
  }
  if (value === null) return ''
  throw invalidValue(field)
}

function invalidValue (field: CustomField): Error {
  return new InvalidCustomFieldError(field.label === '' ? field.id : field.label)
}
