// Values as mongoexport writes them: MongoDB Extended JSON, canonical or relaxed. bson's EJSON says what a type wrapper holds,
// but wrapper by wrapper: given the whole line it takes 2026-02-30 for 2 March and "12abc" for 12, loses what stands
// beside a $oid, and takes twice as long for fields that nobody imports.

import { Decimal128, EJSON, ObjectId } from 'bson'
import { isTime } from '../command.js'
import { CommandError } from '../errors.js'

/** A line that cannot be imported; the message is the reason. */
export class BadLineError extends CommandError {}

export type Document = Record<string, unknown>

// BSON allows no more either.
const deepest = 100

/** A value without its type wrappers: ids and times become text, numbers numbers, and half a surrogate pair U+FFFD, as over HTTP. */
export function plain (value: unknown, depth = 0): unknown {
  if (typeof value === 'number') return storable(value)
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value !== 'object' || value === null) return value
  if (depth > deepest) throw new BadLineError('is nested too deeply')
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  const document = value as Document
  const keys = Object.keys(document)
  const [type = ''] = keys
  if (keys.length === 1 && type.startsWith('$')) return unwrap(document, type, plain(document[type], depth + 1))
  return Object.fromEntries(keys.map((key) => [key.toWellFormed(), plain(document[key], depth + 1)]))
}

/** What a wrapper holds. One of a type that no contact is made of stays as it is, like a key that only looks like one. */
function unwrap (wrapper: Document, type: string, inner: unknown): unknown {
  if (type === '$date') return toTime(inner)
  const value = deserialize(wrapper)
  if (typeof value === 'number') {
    if (inner !== 'NaN' && Number(inner) !== value) throw unreadable(wrapper)
    return type === '$numberLong' && !Number.isSafeInteger(value) ? inner : storable(value)
  }
  if (value instanceof ObjectId || value instanceof Decimal128) return value.toString()
  return value === null ? undefined : { [type]: inner }
}

function deserialize (wrapper: Document): unknown {
  try {
    return EJSON.deserialize(wrapper)
  } catch {
    throw unreadable(wrapper)
  }
}

function unreadable (wrapper: Document): BadLineError {
  const text = JSON.stringify(wrapper)
  return new BadLineError(`${text.length > 100 ? `${text.slice(0, 100)}…` : text} cannot be read`)
}

/** JSON has no other numbers: as text they are at least not lost. */
function storable (number: number): number | string {
  return Number.isFinite(number) ? number : String(number)
}

// What mongoexport writes for nearly all times. Days from the 29th on may not exist and take the long way.
const usualTime = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{3})?Z$/

function toTime (value: unknown): string {
  if (typeof value === 'string' && usualTime.test(value)) return value.length === 24 ? value : value.replace('Z', '.000Z')
  const time = new Date(typeof value === 'number' || isTime(value) ? value : NaN)
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

/** @throws {BadLineError} when it is not a text that is somebody's id */
export function idOf (document: Document): string {
  const { _id } = document
  // As U+FFFD, all such ids would be one.
  if (typeof _id === 'string' && !_id.isWellFormed()) throw new BadLineError('_id holds half of a character')
  const id = text(_id, '_id')
  if (id === '') throw new BadLineError('_id is empty')
  return id
}

export function textOrNull (value: unknown, name: string): string | null {
  const read = plain(value)
  if (isAbsent(read)) return null
  if (typeof read !== 'string') throw new BadLineError(`${name} is not text`)
  return read
}

export function timeOrNull (value: unknown, name: string): string | null {
  const read = plain(value)
  if (isAbsent(read)) return null
  if (typeof read !== 'string' && typeof read !== 'number') throw new BadLineError(`${name} is not a time`)
  return toTime(read)
}

export function flag (value: unknown, name: string, fallback: boolean): number {
  const read = plain(value)
  if (isAbsent(read)) return Number(fallback)
  if (typeof read !== 'boolean') throw new BadLineError(`${name} is not true or false`)
  return Number(read)
}

export function list (value: unknown, name: string): unknown[] {
  if (Array.isArray(value)) return value
  if (isAbsent(plain(value))) return []
  throw new BadLineError(`${name} is not a list`)
}

/** An object whose values are still wrapped, unless they went through `plain`; empty where it is absent. */
export function object (value: unknown, name: string): Document {
  if (isAbsent(value)) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw new BadLineError(`${name} is not an object`)
  return value as Document
}
