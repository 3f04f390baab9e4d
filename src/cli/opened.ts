import type Database from 'better-sqlite3'
import type { Kysely } from 'kysely'
import type { Pool } from 'pg'
import type { Tables } from '../store/tables.js'

/** A database that a command has opened. */
export interface Opened {
  /** As messages name it. */
  name: string
  db: Kysely<Tables>
  /** What the plugin is given. */
  given: Database.Database | Pool
  /** Rejects when it does not answer. */
  ask: () => Promise<unknown>
}

export type Work<Result> = (db: Kysely<Tables>, opened: Opened) => Promise<Result>
