import type Database from 'better-sqlite3'
import { CommandError } from '../errors.js'
import type { Collection, Outcome } from './collection.js'
import { collections } from './collections.js'
import { BadLineError, object, type Document } from './extended-json.js'
import type { Line } from './lines.js'

/**
 * Returns what stores a line. A bad one is thrown, or told and skipped; then each line has a savepoint, so that one which the
 * database refuses leaves nothing behind.
 */
export function prepareStore (
  database: Database.Database, collection: Collection, tell: (sentence: string) => void, skipsBadLines: boolean
): (line: Line) => Outcome | 'skipped' {
  const put = collection.prepare(database, (sentence) => { tell(`Warning: ${sentence}`) })
  if (!skipsBadLines) return reader(collection, put)
  const store = reader(collection, database.transaction(put))
  return (line) => {
    try {
      return store(line)
    } catch (error) {
      if (!isBadLine(error, database)) throw error
      tell(`${error.message} (skipped)`)
      return 'skipped'
    }
  }
}

function reader (collection: Collection, put: (document: Document) => Outcome): (line: Line) => Outcome {
  let isRight = false
  return (line) => {
    const document = readDocument(line)
    const source = detectCollection(document, collection.source)
    // A single stray document is a bad line; when they begin like this the whole file is another one.
    if (source !== undefined) throw new (isRight ? BadLineError : CommandError)(explain(source, collection))
    const outcome = put(document)
    isRight = true
    return outcome
  }
}

function explain (source: string, { name }: Collection): string {
  const other = collections.find((collection) => collection.source === source)
  const hint = other === undefined ? 'which is not imported' : `which goes to --${other.name}`
  return `this is not one of the ${name} but looks like a document of ${source}, ${hint}`
}

/** Also what the database has against a row, unless a trigger of the host said so or the whole transaction is gone. */
function isBadLine (error: unknown, database: Database.Database): error is Error {
  const { code } = error as { code?: unknown }
  return error instanceof BadLineError || (/^SQLITE_CONSTRAINT(?!_TRIGGER)/.test(String(code)) && database.inTransaction)
}

/**
 * The document of a line, its values still wrapped.
 *
 * @throws {BadLineError}
 */
function readDocument (line: Line): Document {
  if (typeof line !== 'string') throw line
  // A byte order mark begins a file, and a line where two files were put together.
  const json = line.replace(/^\uFEFF/, '')
  if (json.startsWith('[')) throw new BadLineError('this is a JSON array and not JSON lines: export without --jsonArray')
  if (json.trimEnd() === '{') throw new BadLineError('this is a document over several lines: export without --pretty')
  return object(parse(json), 'the line')
}

function parse (json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new BadLineError('this is not JSON')
  }
}

// What the documents of a collection have and those of the others have not, to notice a file that was given to the wrong
// option. Only keys that Rocket.Chat always writes: a document that has none of them is taken at its option's word.

type Shape = (document: Document) => boolean

/** By Rocket.Chat's names. The first two are not imported, and easily taken for one that is. */
const shapes: Record<string, Shape> = {
  rocketchat_livechat_visitor: (document) => hasOne(document, 'token', 'visitorEmails'),
  rocketchat_message: (document) => hasAll(document, 'rid', 'msg'),
  rocketchat_livechat_custom_field: (document) => hasOne(document, 'visibility', 'regexp') || hasAll(document, 'scope', 'label'),
  // Users have roles too. The id of a permission has hyphens, as in view-livechat-contact, and it has little else.
  rocketchat_permissions: (document) =>
    hasAll(document, 'roles') && isHyphened(document._id) && !hasOne(document, 'services', ...ofUsers),
  users: (document) =>
    (hasOne(document, 'services', 'username') || (hasAll(document, 'roles') && hasOne(document, ...ofUsers))) &&
    !hasOne(document, 'token', 'visitorEmails'),
  rocketchat_livechat_contact: (document) =>
    hasOne(document, 'unknown', 'channels', 'conflictingFields') && !hasOne(document, 'token', 'rid'),
  rocketchat_room: (document) => typeof document.t === 'string' && !hasAll(document, 'rid'),
  rocketchat_subscription: (document) => hasAll(document, 'rid', 'u') && !hasAll(document, 'msg'),
  rocketchat_livechat_inquiry: (document) =>
    hasAll(document, 'rid', 'v') && hasOne(document, 'status', 'message', 'queueOrder') && !hasOne(document, 'u', 'msg')
}

const ofUsers = ['username', 'name', 'active', 'type', 'status', 'emails', 'createdAt']

/** The collection that a document must be of, judging by its keys, when it is not of the one that was expected. */
function detectCollection (document: Document, expected: string): string | undefined {
  if (shapes[expected]?.(document) === true) return undefined
  return Object.keys(shapes).find((source) => shapes[source]?.(document))
}

function hasOne (document: Document, ...keys: string[]): boolean {
  return keys.some((key) => Object.hasOwn(document, key))
}

function hasAll (document: Document, ...keys: string[]): boolean {
  return keys.every((key) => Object.hasOwn(document, key))
}

function isHyphened (id: unknown): boolean {
  return typeof id === 'string' && id.includes('-')
}
