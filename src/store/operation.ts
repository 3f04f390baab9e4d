// The interface between the rules and the engines. An operation reads once, decides, and writes once. The rules name the queries and
// decide synchronously. An engine runs the queries, SQLite synchronously and PostgreSQL over a network.

import type { Compilable, Kysely } from 'kysely'
import { UpdateRefusedError } from '../errors.js'
import type { EngineSql } from './engine-sql.js'
import type { Tables } from './tables.js'

type Define<Values, Row> = (db: Kysely<Tables>, values: Values, engineSql: EngineSql) => Compilable<Row>

/** The definition of a query, without values. Each engine compiles it at its first use. */
export interface QueryDefinition {
  readonly kind: 'one' | 'many' | 'write' | 'check'
  /** It reads only tables that updates do not write. */
  readonly cacheable?: boolean
  readonly define: Define<never, unknown>
}

/** A definition together with the values of one call. */
export interface Query<Rows = unknown> {
  readonly definition: QueryDefinition
  readonly values: object
  /** How many rows it must change. Any other number fails the update. */
  readonly mustChange?: number | undefined
  /** Called with the `value` that a check finds. */
  readonly onValue?: ((value: number) => void) | undefined
  /** Never set. It carries the type of what the query returns. */
  readonly rows?: Rows
}

/** A function of the host that runs inside the transaction, on its connection. Only the host knows the type of the connection. */
export type HostCallback = (connection: never) => unknown

/** Wraps what a host callback has thrown, so that the answer is 500 even if it has a `statusCode`. An UpdateRefusedError stays as it is. */
export function toHostError (thrown: unknown): unknown {
  return thrown instanceof UpdateRefusedError ? thrown : new Error('beforeCommit failed', { cause: thrown })
}

/** Queries, and a function that computes a result from their rows. `decide` throws to refuse the request. */
export interface Read<Result> {
  readonly queries: readonly Query[]
  readonly decide: (rows: readonly unknown[]) => Result
}

/** What an update has decided. The engine runs the writes, then commits. */
export interface Decision<Result> {
  readonly result: Result
  /** In the order in which they run. Empty if there is nothing to change. */
  readonly writes: readonly Query[]
  /** Called after the writes. It may end the transaction, so nothing is written after it. */
  readonly beforeCommit?: HostCallback | undefined
  /** Finds out whether the writes were committed, if COMMIT got no answer. Not used if there are none. */
  readonly findOutcome: Read<CommitOutcome<Result>>
}

export type Update<Result> = Read<Decision<Result>>

/** Whether an update was committed. `unknown` if a later update has overwritten the contact's `update_id`. */
export type CommitOutcome<Result> = { committed: Result } | 'rolled-back' | 'unknown'

type Options = Pick<QueryDefinition, 'cacheable'>

// Each of the next functions defines a query once. The function that it returns adds the values of a call.

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
 * Checks what was written, if a trigger or rule of the host may have changed it. The query selects a number as `value`. If it is NULL, the
 * update is rolled back.
 */
export function check<Values extends object> (
  define: Define<Values, { value: number | null }>
): (values: Values, onValue?: (value: number) => void) => Query<number> {
  const definition: QueryDefinition = { kind: 'check', define }
  return (values, onValue) => ({ definition, values, onValue })
}

type RowsOf<Queries extends readonly unknown[]> = { [Index in keyof Queries]: Queries[Index] extends Query<infer Rows> ? Rows : never }

/** Makes a read. Its `decide` gets the rows of each query as an argument of their own, with their type. */
export function read<const Queries extends readonly Query[], Result> (
  queries: Queries, decide: (...rows: RowsOf<Queries>) => Result
): Read<Result> {
  return { queries, decide: (rows) => decide(...rows as RowsOf<Queries>) }
}

/** A read without queries. */
export function always<Result> (result: Result): Read<Result> {
  return { queries: [], decide: () => result }
}

/** Joins reads, so that one round trip serves all of them. They decide in this order, and the first refusal wins. */
export function all<const Results extends readonly unknown[]> (...reads: { [Index in keyof Results]: Read<Results[Index]> }): Read<Results> {
  return {
    // flatMap is slower by more than a hundredth of an update's time.
    queries: ([] as Query[]).concat(...reads.map(({ queries }) => queries)),
    decide: (rows) => {
      let from = 0
      return reads.map(({ queries, decide }) => decide(rows.slice(from, from += queries.length))) as unknown as Results
    }
  }
}

/** The error of a write that has not changed `mustChange` rows, and of a check that finds NULL. */
export const WRITE_WAS_CHANGED = 'A trigger or rule has changed what was written'
