/** A host's SQLite handle, whichever library it is of. Statements are prepared once, and kept by their text. */
export interface Connection {
  /** The handle itself: what `beforeCommit` is given. */
  readonly native: object
  readonly inTransaction: boolean
  /** The cells of the first row. */
  get: (sql: string, values?: readonly unknown[]) => unknown[] | undefined
  /** The cells of all rows. */
  all: (sql: string, values?: readonly unknown[]) => unknown[][]
  /** Runs a statement that returns no rows, and returns how many rows it changed. */
  run: (sql: string, values?: readonly unknown[]) => number
  /** Runs a script. */
  exec: (sql: string) => void
  /** Whether the same call may succeed later: another connection holds the lock, or the host is reading rows on this one. */
  isBusy: (error: unknown) => boolean
}
