// Values as mongoexport writes them: MongoDB Extended JSON, canonical or relaxed. Read field by field, because
// decoding whole documents would cost more than storing them.

import { CommandError } from '../errors.js'

/** A line that cannot be imported; the message is the reason. */
export class BadLineError extends CommandError {}

export type Document = Record<string, unknown>

// BSON allows no more either.
const deepest = 100

/** A value without its type wrappers: ids and times become text, numbers numbers. */
export function plain (value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth > deepest) throw new BadLineError('is nested too deeply')
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  const document = value as Document
  const [wrapper = '', more] = Object.keys(document)
  if (more === undefined && wrapper.startsWith('$')) return unwrap(wrapper, document[wrapper], value)
  return Object.fromEntries(Object.entries(document).map(([key, item]) => [key, plain(item, depth + 1)]))
}

function unwrap (wrapper: string, inner: unknown, wrapped: unknown): unknown {
  switch (wrapper) {
    case '$oid': return String(inner)
    case '$numberInt':
    case '$numberLong':
    case '$numberDouble': return Number(inner)
    case '$numberDecimal': return String(inner)
    case '$date': return toTime(plain(inner))
    case '$undefined': return undefined
  }
  // Not a type of MongoDB's that a contact is made of: it stays as it is.
  return wrapped
}

// What mongoexport writes for nearly all times. Days from the 29th on may not exist and take the long way.
const usualTime = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{3})?Z$/

function toTime (value: unknown): string {
  if (typeof value === 'string' && usualTime.test(value)) return value.length === 24 ? value : value.replace('Z', '.000Z')
  const time = new Date(typeof value === 'number' ? value : String(value))
  // Outside of these years ISO 8601 is written with a sign, which SQLite does not read.
  const year = time.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) throw new BadLineError(`${JSON.stringify(value)} is not a time`)
  return time.toISOString()
}

function isAbsent (value: unknown): value is null | undefined {
  return value === undefined || value === null
}

/** @throws {BadLineError} when it is absent or not text */
export function text (value: unknown, name: string): string {
  const read = textOrNull(value, name)
  if (read === null) throw new BadLineError(`${name} is missing`)
  return read
}

export function textOrNull (value: unknown, name: string): string | null {
  if (typeof value === 'string') return value
  const read = plain(value)
  if (isAbsent(read)) return null
  if (typeof read !== 'string') throw new BadLineError(`${name} is not text`)
  return read
}

export function timeOrNull (value: unknown, name: string): string | null {
  if (isAbsent(value)) return null
  const read = plain(value)
  if (typeof read !== 'string' && typeof read !== 'number') throw new BadLineError(`${name} is not a time`)
  return toTime(read)
}

export function flag (value: unknown, name: string, fallback: boolean): number {
  if (isAbsent(value)) return Number(fallback)
  if (typeof value !== 'boolean') throw new BadLineError(`${name} is not true or false`)
  return Number(value)
}

export function list (value: unknown, name: string): unknown[] {
  if (isAbsent(value)) return []
  if (!Array.isArray(value)) throw new BadLineError(`${name} is not a list`)
  return value
}

/** An object whose values are still wrapped; empty where it is absent. */
export function object (value: unknown, name: string): Document {
  if (isAbsent(value)) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw new BadLineError(`${name} is not an object`)
  return value as Document
}
