/** The host's SQLite handle, of either library. Statements are prepared once, and kept by their text. */
export interface Connection {
  /** The handle itself, which `beforeCommit` gets. */
  readonly native: object
  readonly inTransaction: boolean
  /** The cells of the first row. */
  get: (sql: string, values?: readonly unknown[]) => unknown[] | undefined
  /** The cells of all rows. */
  all: (sql: string, values?: readonly unknown[]) => unknown[][]
  /** The first cells of all rows. */
  column: (sql: string, values?: readonly unknown[]) => unknown[]
  /** Runs a statement that returns no rows, and returns how many rows it changed. */
  run: (sql: string, values?: readonly unknown[]) => number
  /** Runs a script. */
  exec: (sql: string) => void
  /** Runs a BEGIN. Fails as busy while the host has an iterator open on the handle. */
  begin: (command: string) => void
  /** Whether the host has an iterator open that does not block other statements. Call it outside of a transaction. */
  hasNonBlockingIterator: () => boolean
  /** If true, transactions begin and statements write although the host has an iterator open. */
  ignoreIterators: (ignored: boolean) => void
  /** Whether the same call may succeed later: another connection holds the lock, or the host has an iterator open on this handle. */
  isBusy: (error: unknown) => boolean
  /** Whether the disk may be full, or a quota used up. */
  isFull: (error: unknown) => boolean
}

/** In WAL mode a writer does not block readers. The host may change the mode at any time. This takes no lock. */
export function isWal (connection: Connection): boolean {
  const [mode] = connection.get('PRAGMA main.journal_mode') as [string]
  if (mode === 'off') throw new Error('With journal_mode = OFF, SQLite cannot roll back an update that is refused')
  return mode === 'wal'
}

/** Whether files are attached. If they are, triggers and `beforeCommit` may fail on the lock of such a file. This takes no lock. */
export function hasAttached (connection: Connection): boolean {
  // 0 is `main` and 1 is `temp`.
  return connection.column('PRAGMA database_list').some((number) => number as number > 1)
}

/** Commits. If the disk fails, SQLite rolls back, and the transaction in its log is overwritten. */
export function commit (connection: Connection): void {
  try {
    connection.run('COMMIT')
  } catch (error) {
    // After any other error, such as that of a constraint, the transaction is still open.
    if (!connection.inTransaction) overwriteFailedCommit(connection)
    throw error
  }
}

/**
 * After a COMMIT that failed on the disk, the log (WAL) may hold the whole transaction. It would count as committed if all processes with
 * the file open died before the next commit. So this commits something else in its place.
 */
export function overwriteFailedCommit (connection: Connection): void {
  try {
    withoutBusyTimeout(connection, () => { commitNothing(connection) })
  } catch {
    // The disk may have failed again. Even so, this commit may have been written.
  }
}

/** Commits without changing anything. SQLite does not write a row that stays the same, but always writes `user_version`. */
export function commitNothing (connection: Connection): void {
  connection.exec('BEGIN IMMEDIATE')
  try {
    const [version] = connection.get('PRAGMA main.user_version') as [number]
    connection.exec(`PRAGMA main.user_version = ${version}; COMMIT`)
  } finally {
    if (connection.inTransaction) connection.exec('ROLLBACK')
  }
}

/** Runs `work` while SQLite fails at once instead of sleeping on a lock. */
export function withoutBusyTimeout<Result> (connection: Connection, work: () => Result): Result {
  const restore = clearBusyTimeout(connection)
  try {
    return work()
  } finally {
    restore()
  }
}

/**
 * Makes SQLite fail at once instead of sleeping on a lock, which would block the event loop. Returns a function that puts the handle's
 * own timeout back.
 */
export function clearBusyTimeout (connection: Connection): () => void {
  // `get` and not `exec`, because it works while the host has an iterator open.
  const [timeout] = connection.get('PRAGMA busy_timeout') as [number]
  connection.get('PRAGMA busy_timeout = 0')
  return () => { connection.get(`PRAGMA busy_timeout = ${timeout}`) }
}
