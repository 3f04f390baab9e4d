// The interface between the rules and the engines. The rules run nothing: `readContact`, for example, returns queries and a decision. An
// engine runs the queries: first all reads, then all writes. A decision cannot wait, so it is the same code for SQLite and for PostgreSQL.

import type { Compilable, Kysely } from 'kysely'
import { UpdateRefusedError } from '../errors.js'
import type { EngineSql } from './engine-sql.js'
import type { Tables } from './tables.js'

type Define<Values, Row> = (db: Kysely<Tables>, values: Values, engineSql: EngineSql) => Compilable<Row>

/** The definition of a query, without values. Each engine compiles it at its first use. */
export interface QueryDefinition {
  readonly kind: 'one' | 'many' | 'write' | 'check'
  /** Whether SQLite may cache its rows: it reads only tables that updates do not write. */
  readonly cacheable?: boolean
  readonly define: Define<never, unknown>
}

/** A query with its values. */
export interface Query<Rows = unknown> {
  readonly definition: QueryDefinition
  readonly values: object
  /** How many rows a write must change. After any other number the update fails. */
  readonly mustChange?: number | undefined
  /** A check calls this with the `value` that it has found. */
  readonly onValue?: ((value: number) => void) | undefined
  /** Never set. It only has the type of the rows. */
  readonly rows?: Rows
}

/** The host's `beforeCommit`. It gets the connection of the transaction, whose type only the host knows. It may end the transaction. */
export type HostCallback = (connection: never) => unknown

/** Wraps what `beforeCommit` has thrown, so that its `statusCode` is not answered. An UpdateRefusedError stays as it is. */
export function toHostError (thrown: unknown): unknown {
  return thrown instanceof UpdateRefusedError ? thrown : new Error('beforeCommit failed', { cause: thrown })
}

/** Queries, and a function that computes a result from their rows. `decide` throws to refuse the request. */
export interface Read<Result> {
  readonly queries: readonly Query[]
  readonly decide: (rows: readonly unknown[]) => Result
}

/** What an update has decided. The engine runs the writes, calls `beforeCommit` and commits. */
export interface Decision<Result> {
  readonly result: Result
  /** In the order in which they run. Empty if there is nothing to change. */
  readonly writes: readonly Query[]
  readonly beforeCommit?: HostCallback | undefined
  /** If COMMIT gets no answer, the engine runs this read to look up whether the writes were committed. Absent if there are no writes. */
  readonly outcome?: Read<CommitOutcome<Result>> | undefined
}

export type Update<Result> = Read<Decision<Result>>

/** Whether an update was committed. It is unknown if a later update has overwritten the contact's `update_id`. */
export type CommitOutcome<Result> = { committed: Result } | 'rolled-back' | 'unknown'

type Options = Pick<QueryDefinition, 'cacheable'>

// Each of the next functions defines a query, and returns a function that adds the values.

/** A query for at most one row. */
export function one<Values extends object, Row> (define: Define<Values, Row>, options?: Options): (values: Values) => Query<Row | undefined> {
  const definition: QueryDefinition = { kind: 'one', define, ...options }
  return (values) => ({ definition, values })
}

/** A query for any number of rows. */
export function many<Values extends object, Row> (define: Define<Values, Row>, options?: Options): (values: Values) => Query<Row[]> {
  const definition: QueryDefinition = { kind: 'many', define, ...options }
  return (values) => ({ definition, values })
}

/** A query that writes and returns nothing. */
export function write<Values extends object> (define: Define<Values, unknown>): (values: Values, mustChange?: number) => Query<undefined> {
  const definition: QueryDefinition = { kind: 'write', define }
  return (values, mustChange) => ({ definition, values, mustChange })
}

/**
 * A query that checks what was written, because a trigger or rule of the host may have changed it. It selects a number as `value`. If the
 * number is NULL, the update fails.
 */
export function check<Values extends object> (
  define: Define<Values, { value: number | null }>
): (values: Values, onValue?: (value: number) => void) => Query<number> {
  const definition: QueryDefinition = { kind: 'check', define }
  return (values, onValue) => ({ definition, values, onValue })
}

type RowsOf<Queries extends readonly unknown[]> = { [Index in keyof Queries]: Queries[Index] extends Query<infer Rows> ? Rows : never }

/** Makes a read. `decide` gets one argument for each query: its rows, with their type. */
export function read<const Queries extends readonly Query[], Result> (
  queries: Queries, decide: (...rows: RowsOf<Queries>) => Result
): Read<Result> {
  return { queries, decide: (rows) => decide(...rows as RowsOf<Queries>) }
}

/** A read with a result that is known already. */
export function withoutQueries<Result> (result: Result): Read<Result> {
  return { queries: [], decide: () => result }
}

/** Joins reads, so that their queries share one round trip. They decide in this order, so the first refusal is answered. */
export function all<const Results extends readonly unknown[]> (...reads: { [Index in keyof Results]: Read<Results[Index]> }): Read<Results> {
  return {
    // flatMap is slower by more than a hundredth of an update's time.
    queries: ([] as Query[]).concat(...reads.map(({ queries }) => queries)),
    decide: (rows) => {
      let next = 0
      return reads.map(({ queries, decide }) => decide(rows.slice(next, next += queries.length))) as unknown as Results
    }
  }
}

/** A key for the values of a query, if all are texts. The length before each makes it unambiguous. JSON would take several times as long. */
export function keyOf (values: object): string {
  let key = ''
  for (const value of Object.values(values) as string[]) key += `${value.length}:${value}`
  return key
}

/** The message if a write has not changed `mustChange` rows, or a check has found NULL. */
export const WRITE_WAS_CHANGED = 'A trigger or rule has changed what was written'
