// What may be stored in a contact's customFields. Own properties only: a field called __proto__ or constructor is
// just a name, so keys are tested with Object.hasOwn and objects are made with Object.fromEntries.

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
 * The customFields to store: the sent values of all allowed fields, and what is stored under keys whose definition is
 * gone.
 *
 * @throws {InvalidCustomFieldError} when a required value is missing, or a value is not a scalar or does not fit
 * @throws {CustomFieldNotAllowedError} when a key is neither allowed nor stored; all values are looked at first
 */
export function mergeCustomFields (allowed: readonly CustomField[], stored: Values, sent: Values, fits: Fits): Values {
  const merged: Array<[string, unknown]> = []
  for (const field of allowed) {
    const text = Object.hasOwn(sent, field.id) ? toText(field, sent[field.id]) : ''
    const valid = text === '' ? field.required === 0 : field.regexp === '' || fits(field, text)
    if (!valid) throw invalidValue(field)
    if (text !== '') merged.push([field.id, text])
  }

  const allowedIds = new Set(allowed.map((field) => field.id))
  for (const key of Object.keys(sent)) {
    if (!allowedIds.has(key) && !Object.hasOwn(stored, key)) throw new CustomFieldNotAllowedError(key)
  }

  return Object.fromEntries([...merged, ...Object.entries(stored).filter(([key]) => !allowedIds.has(key))])
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
