// Reads a file as lines, and a line as a document of the collection that the file should hold.

import { isUtf8 } from 'node:buffer'
import { CommandError } from '../errors.js'
import { collections, type CollectionName } from './collections.js'
import { BadLineError, readObject, type Document } from './extended-json.js'

/** A line without its end, or why it cannot be read. */
export type Line = string | BadLineError

/** Four times MongoDB's limit for a document, because type wrappers make it longer. */
export const maxLineBytes = 64 * 1024 * 1024

const newline = 0x0A

/**
 * Splits a file into lines, and yields the lines that end in each chunk. split2 would silently drop a line that is too long, and read bytes
 * that are not UTF-8 as U+FFFD. It would search a long line again with every chunk: 12 to 39 s for 60 MiB, instead of 0.3 s.
 */
export async function * readLines (input: AsyncIterable<Buffer>): AsyncGenerator<{ lines: Line[], bytes: number }, void> {
  // The parts of the line whose end has not arrived yet.
  let parts: Buffer[] = []
  let length = 0

  for await (const chunk of input) {
    const lines: Line[] = []
    for (let [start, end] = [0, 0]; end !== -1; start = end + 1) {
      end = chunk.indexOf(newline, start)
      const part = chunk.subarray(start, end === -1 ? undefined : end)
      const wasTooLong = length > maxLineBytes
      length += part.length
      const isTooLong = length > maxLineBytes
      // Reported at once, because the end of the line may be far away.
      if (isTooLong && !wasTooLong) lines.push(new BadLineError(tooLongMessage))
      if (isTooLong) parts = []
      else parts.push(part)
      if (end === -1) continue
      if (!isTooLong) lines.push(decode(parts))
      parts = []
      length = 0
    }
    yield { lines, bytes: chunk.length }
  }
  if (length > 0 && length <= maxLineBytes) yield { lines: [decode(parts)], bytes: 0 }
}

const tooLongMessage = `this is a line that is too long, of more than ${maxLineBytes / 1024 / 1024} MiB: is it really JSON lines?`

function decode (parts: Buffer[]): Line {
  const bytes = Buffer.concat(parts)
  return isUtf8(bytes) ? bytes.toString() : new BadLineError('this is not UTF-8')
}

/** @param isRightFile whether an earlier line of the file belongs to the collection */
export function readDocument (line: Line, name: CollectionName, isRightFile: boolean): Document {
  const document = parse(line)
  const other = detectCollection(document, collections[name])
  if (other === undefined) return document
  const [option] = Object.entries(collections).find(([, collection]) => collection === other) ?? []
  const Failure = isRightFile ? BadLineError : CommandError
  throw new Failure(`this is not one of the ${name} but looks like a document of ${other}, ` +
    (option === undefined ? 'which is not imported' : `which goes to --${option}`))
}

function parse (line: Line): Document {
  if (typeof line !== 'string') throw line
  // A byte order mark is at the beginning of a file, and in the middle if files were joined.
  const json = line.replace(/^\uFEFF/, '')
  if (json.startsWith('[')) throw new BadLineError('this is a JSON array and not JSON lines: export without --jsonArray')
  if (json.trimEnd() === '{') throw new BadLineError('this is a document over several lines: export without --pretty')
  let document: unknown
  try {
    document = JSON.parse(json)
  } catch {
    throw new BadLineError('this is not JSON')
  }
  return readObject(document, 'the line')
}

const userKeys = ['username', 'name', 'active', 'type', 'status', 'emails', 'createdAt']

/** Recognizes a collection by keys that Rocket.Chat always writes. Visitors and messages are listed because their files are easily mistaken. */
const looksLike: Record<string, (document: Document) => boolean> = {
  rocketchat_livechat_visitor: (document) => hasAny(document, 'token', 'visitorEmails'),
  rocketchat_message: (document) => hasAll(document, 'rid', 'msg'),
  rocketchat_livechat_custom_field: (document) => hasAny(document, 'visibility', 'regexp') || hasAll(document, 'scope', 'label'),
  // Users have roles too. The id of a permission has hyphens, as in view-livechat-contact, and it has few other keys.
  rocketchat_permissions: (document) =>
    hasAll(document, 'roles') && String(document._id).includes('-') && !hasAny(document, 'services', ...userKeys),
  users: (document) =>
    (hasAny(document, 'services', 'username') || (hasAll(document, 'roles') && hasAny(document, ...userKeys))) &&
    !hasAny(document, 'token', 'visitorEmails'),
  rocketchat_livechat_contact: (document) =>
    hasAny(document, 'unknown', 'channels', 'conflictingFields') && !hasAny(document, 'token', 'rid'),
  rocketchat_room: (document) => typeof document.t === 'string' && !hasAll(document, 'rid'),
  rocketchat_subscription: (document) => hasAll(document, 'rid', 'u') && !hasAll(document, 'msg'),
  rocketchat_livechat_inquiry: (document) =>
    hasAll(document, 'rid', 'v') && hasAny(document, 'status', 'message', 'queueOrder') && !hasAny(document, 'u', 'msg')
}

/** Returns the collection that a document belongs to, if it is not the expected one. */
function detectCollection (document: Document, expected: string): string | undefined {
  if (looksLike[expected]?.(document) === true) return undefined
  return Object.keys(looksLike).find((collection) => looksLike[collection]?.(document))
}

function hasAny (document: Document, ...keys: string[]): boolean {
  return keys.some((key) => Object.hasOwn(document, key))
}

function hasAll (document: Document, ...keys: string[]): boolean {
  return keys.every((key) => Object.hasOwn(document, key))
}
