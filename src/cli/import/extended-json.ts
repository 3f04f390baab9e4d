// Reads values as mongoexport writes them: MongoDB Extended JSON, canonical or relaxed. bson's EJSON is used for single type wrappers only.
// On whole lines it would take twice as long. It would also read 2026-02-30 as 2 March and "12abc" as 12, and drop keys beside a $oid.

import { Decimal128, EJSON, ObjectId } from 'bson'
import { CommandError } from '../errors.js'
import { isTime } from '../shared.js'

/** A line that cannot be imported; the message is the reason. */
export class BadLineError extends CommandError {}

export type Document = Record<string, unknown>

// BSON's own limit.
const maxDepth = 100

/** A value without its type wrappers: ids and times become text. A lone surrogate becomes U+FFFD, as over HTTP. */
export function toPlainValue (value: unknown, depth = 0): unknown {
  if (typeof value === 'number') return finiteOrText(value)
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value !== 'object' || value === null) return value
  if (depth > maxDepth) throw new BadLineError('is nested too deeply')
  if (Array.isArray(value)) return value.map((item) => toPlainValue(item, depth + 1))
  const document = value as Document
  const keys = Object.keys(document)
  const [type = ''] = keys
  if (keys.length === 1 && type.startsWith('$')) return unwrap(document, type, toPlainValue(document[type], depth + 1))
  return Object.fromEntries(keys.map((key) => [key.toWellFormed(), toPlainValue(document[key], depth + 1)]))
}

/** The value of a type wrapper. Wrappers of other types than those below, and unknown keys that begin with $, stay as they are. */
function unwrap (wrapper: Document, type: string, inner: unknown): unknown {
  if (type === '$date') return toTime(inner)
  let value: unknown
  try {
    value = EJSON.deserialize(wrapper)
  } catch {
    throw unreadable(wrapper)
  }
  if (typeof value === 'number') {
    // EJSON reads "12abc" as 12.
    if (inner !== 'NaN' && Number(inner) !== value) throw unreadable(wrapper)
    return type === '$numberLong' && !Number.isSafeInteger(value) ? inner : finiteOrText(value)
  }
  if (value instanceof ObjectId || value instanceof Decimal128) return value.toString()
  // EJSON reads $undefined as null.
  return value === null ? undefined : { [type]: inner }
}

function unreadable (wrapper: Document): BadLineError {
  const text = JSON.stringify(wrapper)
  return new BadLineError(`${text.length > 100 ? `${text.slice(0, 100)}…` : text} cannot be read`)
}

/** JSON would store NaN and Infinity as null. */
function finiteOrText (number: number): number | string {
  return Number.isFinite(number) ? number : String(number)
}

// Nearly all times have this form and need no parsing. The 29th to the 31st are parsed, because that day may not exist.
const usualTime = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{3})?Z$/

function toTime (value: unknown): string {
  if (typeof value === 'string' && usualTime.test(value)) return value.includes('.') ? value : value.replace('Z', '.000Z')
  const time = new Date(typeof value === 'number' || isTime(value) ? value : NaN)
  // toISOString writes years outside of this range with a sign, which SQLite does not read.
  const year = time.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) throw new BadLineError(`${JSON.stringify(value)} is not a time`)
  return time.toISOString()
}

// These functions read the parts of a document. They throw a BadLineError with the `name` of a part that has another form.

export function readText (value: unknown, name: string): string {
  const read = readTextOrNull(value, name)
  if (read === null) throw new BadLineError(`${name} is missing`)
  return read
}

export function readId (document: Document): string {
  const { _id } = document
  // If lone surrogates were replaced, different ids could become the same.
  if (typeof _id === 'string' && !_id.isWellFormed()) throw new BadLineError('_id holds half of a character')
  const id = readText(_id, '_id')
  if (id === '') throw new BadLineError('_id is empty')
  return id
}

export function readTextOrNull (value: unknown, name: string): string | null {
  const read = toPlainValue(value) ?? null
  if (read !== null && typeof read !== 'string') throw new BadLineError(`${name} is not text`)
  return read
}

export function readTimeOrNull (value: unknown, name: string): string | null {
  const read = toPlainValue(value) ?? null
  if (read !== null && typeof read !== 'string' && typeof read !== 'number') throw new BadLineError(`${name} is not a time`)
  return read === null ? null : toTime(read)
}

/** 1 for true and 0 for false, as SQLite stores them. */
export function readFlag (value: unknown, name: string, fallback: boolean): number {
  const read = toPlainValue(value) ?? fallback
  if (typeof read !== 'boolean') throw new BadLineError(`${name} is not true or false`)
  return Number(read)
}

export function readList (value: unknown, name: string): unknown[] {
  const read = Array.isArray(value) ? value : toPlainValue(value) ?? []
  if (!Array.isArray(read)) throw new BadLineError(`${name} is not a list`)
  return read
}

export function readObjects (value: unknown, name: string): Document[] {
  return readList(value, name).map((item) => readObject(item, name))
}

/** An object whose values still have their type wrappers; empty when it is absent. */
export function readObject (value: unknown, name: string): Document {
  const read = value ?? {}
  if (typeof read !== 'object' || Array.isArray(read)) throw new BadLineError(`${name} is not an object`)
  return read as Document
}
