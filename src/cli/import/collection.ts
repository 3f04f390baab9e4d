import type Database from 'better-sqlite3'
import type { Document } from './extended-json.js'

/** What became of a line; one that has nothing to do with omnichannel contacts is ignored. */
export type Outcome = 'new' | 'updated' | 'ignored'

export interface Collection {
  /** Also the name of its option. */
  name: string
  /** Rocket.Chat's name for it. */
  source: string
  /** What there was none of when all documents were ignored. */
  wanted?: string
  /** Returns what stores one document; it throws a BadLineError before it writes anything. */
  prepare: (database: Database.Database) => (document: Document) => Outcome
}
