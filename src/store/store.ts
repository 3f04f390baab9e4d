import type { Engine } from '../diagnostics.js'
import { RequestGoneError } from '../errors.js'
import type { Read, Update } from './operation.js'

/** Guards the reply to an update, so that it is sent once. */
export interface ReplyGuard {
  /** Whether an answer is still wanted: no other code has answered, and the client is still there. */
  isPending: () => boolean
  /** Called right before COMMIT: from now on only the update may answer. `batchSize` is how many updates this COMMIT writes. */
  lock: (batchSize: number) => void
  /** Called if nothing was committed: other code may answer again. */
  unlock: () => void
}

/** @throws {RequestGoneError} if no answer is wanted any more */
export function throwIfGone (guard: ReplyGuard): void {
  if (!guard.isPending()) throw new RequestGoneError()
}

/** A database of the host, shared by all registrations on it. */
export interface Store {
  readonly engine: Engine
  /**
   * Migrates the database, or with `migrate: false` only checks its tables.
   *
   * @throws {NewerSchemaError} when a newer version of the package has migrated it
   * @throws {IncompleteSchemaError} when something is missing that the plugin must not create
   * @throws {UnsuitableColumnError} when a column of the host does not hold text, as it must
   */
  migrate: (settings: { migrate: boolean, lockTimeout: number }) => Promise<void>
  /**
   * Runs queries outside of a transaction.
   *
   * @throws {DatabaseBusyError} after `timeoutMs`
   */
  read: <Result>(operation: Read<Result>, timeoutMs: number) => Promise<Result>
  /**
   * Runs an update in a transaction, and resolves after COMMIT.
   *
   * @param prepare makes a fresh update for each attempt, because a transaction may be rolled back and begun again
   * @throws {RequestGoneError} when no answer is wanted any more; nothing was written
   * @throws {DatabaseBusyError} after `timeoutMs`; nothing was written
   * @throws {InDoubtError} when it stays unknown whether the update was committed
   */
  update: <Result>(prepare: () => Update<Result>, guard: ReplyGuard, timeoutMs: number) => Promise<Result>
  /** Resolves when everything under way has ended. */
  drain: () => Promise<unknown>
}
