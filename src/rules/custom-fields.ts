// What may be stored in a contact's customFields. Own properties only: a field called __proto__ or constructor is just a
// name, so keys are tested with Object.hasOwn, or stand in a Map or a Set.

import { CustomFieldNotAllowedError, InvalidCustomFieldError } from '../errors.js'
import { scanObject } from './json-object.js'

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
  const members = new Map<string, string>()
  for (const field of allowed) {
    const text = Object.hasOwn(sent, field.id) ? toText(field, sent[field.id]) : ''
    const valid = text === '' ? field.required === 0 : field.regexp === '' || fits(field, text)
    if (!valid) throw invalidValue(field)
    if (text !== '') members.set(field.id, `${JSON.stringify(field.id)}:${JSON.stringify(text)}`)
  }

  const allowedIds = new Set(allowed.map((field) => field.id))
  const unknown = new Set(Object.keys(sent).filter((key) => !allowedIds.has(key)))
  // Not parsed: to parse 1e400 or a large integer would be to change it.
  scanObject(stored, (key, text) => {
    if (allowedIds.has(key)) return
    members.set(key, text)
    unknown.delete(key)
  })
  for (const key of unknown) throw new CustomFieldNotAllowedError(key)
  return `{${[...members.values()].join(',')}}`
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
