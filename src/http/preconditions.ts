// Reads If-Match and Idempotency-Key. They are checked inside the transaction.

import type { FastifyRequest } from 'fastify'
import { InvalidParamsError } from '../errors.js'

/** One entity tag of a list, with the comma after it: RFC 9110, sections 8.8.3 and 5.6.1. Empty items of the list are skipped. */
const entityTag = /[ \t,]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:$|,[ \t,]*)/y

/**
 * Returns the entity tags of `If-Match`. Weak ones are among them, but match no version.
 *
 * @throws {InvalidParamsError} if it is not a list of entity tags
 */
export function readIfMatch ({ headers }: FastifyRequest): '*' | string[] | undefined {
  const header = headers['if-match']
  if (header === undefined) return undefined
  if (/^[ \t]*\*[ \t]*$/.test(header)) return '*'
  const tags: string[] = []
  entityTag.lastIndex = 0
  do {
    const [, tag] = entityTag.exec(header) ?? []
    if (tag === undefined) throw new InvalidParamsError('Invalid If-Match header')
    tags.push(tag)
  } while (entityTag.lastIndex < header.length)
  return tags
}

/**
 * A key, with or without the quotes that draft-ietf-httpapi-idempotency-key-header requires. The quotes are not part of the key.
 * `""` is an empty key, which is invalid.
 */
const idempotencyKey = /^[ \t]*(?:"([\x21-\x7e]{1,255})"|(?!""[ \t]*$)([\x21-\x7e]{1,255}))[ \t]*$/

/** @throws {InvalidParamsError} if the key is not 1 to 255 visible ASCII characters */
export function readIdempotencyKey ({ headers }: FastifyRequest): string | undefined {
  const header = headers['idempotency-key']
  if (header === undefined) return undefined
  const [, quoted, plain] = idempotencyKey.exec(String(header)) ?? []
  const key = quoted ?? plain
  if (key === undefined) throw new InvalidParamsError('Invalid Idempotency-Key header')
  return key
}
