import type { SqliteDatabase } from './handle.js'

export interface Journal {
  /** Whether it is a WAL: then no writer locks a reader out, so that a read never waits. */
  isWal: boolean
  /** Looks what it is. The tables must be there. */
  look: () => void
}

export function createJournal (database: SqliteDatabase): Journal {
  const journal: Journal = {
    isWal: false,
    look: () => { journal.isWal = database.pragma('journal_mode', { simple: true }) === 'wal' }
  }
  return journal
}
