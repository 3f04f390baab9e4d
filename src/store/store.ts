import type { Fate, Steps } from './steps.js'

/** A database of the host, shared by all registrations on it. Each engine has its own. */
export interface Store {
  /**
   * Brings the database to the schema, or with `migrate: false` only looks.
   *
   * @throws {NewerSchemaError} when a newer version of the package has been here
   * @throws {IncompleteSchemaError} when something is missing and is not ours to create
   * @throws {UnsuitableColumnError} when a column of the host's would change the ids that it holds
   */
  migrate: (settings: { migrate: boolean, lockTimeout: number }) => Promise<void>
  /**
   * Runs rules that only read.
   *
   * @throws {DatabaseBusyError} after `lockTimeout` milliseconds
   */
  read: <Result>(steps: () => Steps<Result>, lockTimeout: number) => Promise<Result>
  /**
   * Runs rules in a transaction, and resolves after COMMIT. They may be run again, from their beginning, when the
   * transaction was lost to somebody else. After a step that only writes they ask nothing more.
   *
   * @param whatBecameOf rules that find out whether a result was committed, where a connection was lost meanwhile
   * @throws {DatabaseBusyError} after `lockTimeout` milliseconds
   * @throws {InDoubtError} when it cannot be found out whether the transaction was committed
   */
  update: <Result>(steps: () => Steps<Result>, lockTimeout: number, whatBecameOf: (result: Result) => Steps<Fate>) => Promise<Result>
  /** Resolves when all that waits now has been answered. */
  settled: () => Promise<unknown>
}
