import type { Connection } from '../../store/sqlite/connection.js'
import { codeOf, CommandError } from '../errors.js'
import { collections, type CollectionName, type Outcome } from './collection.js'
import { BadLineError, object, type Document } from './extended-json.js'
import { storeDocument } from './store-document.js'

/** A line without its end, or why it cannot be read. */
export type Line = string | BadLineError

interface Settings {
  skipsBadLines: boolean
  /** Called for each document that was stored. */
  onStored: (document: Document) => void
  report: (sentence: string) => void
}

/** Returns a function that stores one line of a file in each call. */
export function lineStore (database: Connection, name: CollectionName, { skipsBadLines, onStored, report }: Settings) {
  let isRightFile = false

  const store = (line: Line): Outcome => {
    const document = readDocument(line)
    const other = detectCollection(document, collections[name])
    if (other !== undefined) {
      const [option] = Object.entries(collections).find(([, collection]) => collection === other) ?? []
      const sentence = `this is not one of the ${name} but looks like a document of ${other}, ` +
        (option === undefined ? 'which is not imported' : `which goes to --${option}`)
      // A file that begins like this is the wrong one; later it is one bad line.
      throw new (isRightFile ? BadLineError : CommandError)(sentence)
    }
    const outcome = storeDocument[name](database, document, (sentence) => { report(`Warning: ${sentence}`) })
    onStored(document)
    isRightFile = true
    return outcome
  }

  return (line: Line): Outcome | 'skipped' => {
    if (!skipsBadLines) return store(line)
    // Each line has a savepoint, because the database may refuse the second row of a line.
    database.run('SAVEPOINT line')
    try {
      return store(line)
    } catch (error) {
      if (!isBadLine(error, database)) throw error
      database.run('ROLLBACK TO line')
      report(`${error.message} (skipped)`)
      return 'skipped'
    } finally {
      if (database.inTransaction) database.run('RELEASE line')
    }
  }
}

/**
 * Whether the line is to blame: it cannot be read, or a constraint refuses its row. A trigger of the host may also refuse the row or end the
 * transaction. Then the import fails.
 */
function isBadLine (error: unknown, database: Connection): error is Error {
  return error instanceof BadLineError || (/^SQLITE_CONSTRAINT(?!_TRIGGER)/.test(codeOf(error)) && database.inTransaction)
}

function readDocument (line: Line): Document {
  if (typeof line !== 'string') throw line
  // A byte order mark begins a file. If files were joined, it is also in the middle.
  const json = line.replace(/^\uFEFF/, '')
  if (json.startsWith('[')) throw new BadLineError('this is a JSON array and not JSON lines: export without --jsonArray')
  if (json.trimEnd() === '{') throw new BadLineError('this is a document over several lines: export without --pretty')
  let document: unknown
  try {
    document = JSON.parse(json)
  } catch {
    throw new BadLineError('this is not JSON')
  }
  return object(document, 'the line')
}

const userKeys = ['username', 'name', 'active', 'type', 'status', 'emails', 'createdAt']

/**
 * Recognizes each collection by keys that Rocket.Chat always writes, to notice a file that was given to the wrong option. Visitors and
 * messages are not imported. They are listed because their files are easily mistaken for ones that are imported.
 */
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
