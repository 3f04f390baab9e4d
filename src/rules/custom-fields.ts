// A field may be called __proto__ or constructor. So keys are tested with Object.hasOwn, or are in a Map or a Set.

import { CustomFieldNotAllowedError, InvalidCustomFieldError } from '../errors.js'
import { MAX_PARSED_JSON } from './contact.js'
import { scanObject } from './json-object.js'

/** The definition of a custom field that may be sent: its scope is `visitor`, and it is not hidden. */
export interface CustomField {
  id: string
  label: string
  required: number
  /** A JavaScript pattern without flags, or an empty text. */
  regexp: string
}

/** Returns whether a text matches the pattern of a custom field. */
export type MatchPattern = (field: CustomField, text: string) => boolean

/**
 * Returns the custom fields to store, as JSON: the sent values of the allowed fields, and the stored members of other fields, character
 * for character.
 *
 * @throws {InvalidCustomFieldError} if a required value is missing, or a value is not a scalar or does not match its pattern
 * @throws {CustomFieldNotAllowedError} if all values are valid, but a key is neither allowed nor stored
 */
export function mergeCustomFields (
  allowed: readonly CustomField[], stored: string, sent: Readonly<Record<string, unknown>>, matches: MatchPattern
): string {
  const members = new Map<string | number, string>()
  for (const field of allowed) {
    const text = Object.hasOwn(sent, field.id) ? toText(field, sent[field.id]) : ''
    if (text === '') {
      if (field.required !== 0) throw invalidValue(field)
      continue
    }
    if (field.regexp !== '' && !matches(field, text)) throw invalidValue(field)
    members.set(field.id, `${JSON.stringify(field.id)}:${JSON.stringify(text)}`)
  }

  const allowedIds = new Set(allowed.map((field) => field.id))
  const unknownKeys = new Set(Object.keys(sent).filter((key) => !allowedIds.has(key)))
  const isLarge = stored.length > MAX_PARSED_JSON
  // Scanned, because JSON.parse would change 1e400 and large integers.
  scanObject(stored, (key, member) => {
    if (allowedIds.has(key)) return
    // If a key is stored twice, its last value counts. In large JSON both stay, because comparing many keys would block the event loop.
    members.set(isLarge ? members.size : key, member)
    unknownKeys.delete(key)
  })
  const [unknownKey] = unknownKeys
  if (unknownKey !== undefined) throw new CustomFieldNotAllowedError(unknownKey)
  return `{${[...members.values()].join(',')}}`
}

function toText (field: CustomField, value: unknown): string {
  if (value === null) return ''
  if (typeof value === 'string') return value.trim()
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw invalidValue(field)
}

function invalidValue ({ id, label }: CustomField): Error {
  return new InvalidCustomFieldError(label === '' ? id : label)
}
