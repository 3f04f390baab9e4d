// What a client may ask for with a header: that the contact is still the one that it has seen, and that a repeated
// request is done once. Both are judged inside the transaction; here they are only read.

import type { FastifyRequest } from 'fastify'
import { InvalidParamsError } from '../errors.js'

/** RFC 9110, section 8.8.3: strong or weak, and any character but a quote in between; then the end, or a comma (5.6.1). */
const entityTag = /[ \t,]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:$|,[ \t,]*)/y
const visible = /^[\x21-\x7e]{1,255}$/

/**
 * The entity tags of `If-Match`, weak ones as well, which are no version of a contact.
 *
 * @throws {InvalidParamsError} when it is no list of them
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
 * The key of `Idempotency-Key`, without the quotes that the draft puts around it.
 *
 * @throws {InvalidParamsError} when it is not 1 to 255 visible ASCII characters
 */
export function readIdempotencyKey ({ headers }: FastifyRequest): string | undefined {
  const header = headers['idempotency-key']
  if (header === undefined) return undefined
  const key = trimBlanks(String(header)).replace(/^"(.*)"$/, '$1')
  if (!visible.test(key)) throw new InvalidParamsError('Invalid Idempotency-Key header')
  return key
}

/** Not by a regular expression: `[ \t]+$` takes quadratic time for blanks in the middle. */
function trimBlanks (text: string): string {
  const isBlank = (index: number): boolean => text[index] === ' ' || text[index] === '\t'
  let [start, end] = [0, text.length]
  while (start < end && isBlank(start)) start++
  while (end > start && isBlank(end - 1)) end--
  return text.slice(start, end)
}
