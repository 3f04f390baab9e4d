// Kysely builds, better-sqlite3 executes. A statement is built once, when the module that describes it is loaded,
// with a marker in the place of every parameter; it is prepared once for each database handle; a request only
// brings values. Nothing here awaits, so a transaction around it cannot be entered by anybody else.

import { Kysely, SqliteDialect, type Compilable, type SqliteDialectConfig } from 'kysely'
import type { SqliteDatabase } from './sqlite-store.js'
import type { Tables } from '../tables.js'

/** Builds queries over our tables. It has no database, so it can only compile. */
export const build = new Kysely<Tables>({ dialect: new SqliteDialect({} as SqliteDialectConfig) })

/** A statement together with the values of one call, as rules yield it. */
export interface Query {
  readonly statement: Statement
  readonly values: Record<string, unknown>
}

/** The rules of one operation: a generator that yields queries and is handed their rows. */
export type Steps<Result> = Generator<Query, Result>

interface Statement {
  readonly sql: string
  /** Markers for the values that a call brings, plain values for the constants of the query. */
  readonly parameters: readonly unknown[]
  readonly kind: 'one' | 'many' | 'write'
}

type Execute = (values: Record<string, unknown>) => unknown

class Marker {
  constructor (readonly name: string) {}
}

const markers = new Proxy({}, { get: (_target, name) => new Marker(String(name)) })

type Describe<Values, Row> = (values: Values) => Compilable<Row>

/** A query for at most one row. */
export function one<Values, Row> (describe: Describe<Values, Row>): (values: Values) => Steps<Row | undefined> {
  return define('one', describe)
}

/** A query for any number of rows. */
export function many<Values, Row> (describe: Describe<Values, Row>): (values: Values) => Steps<Row[]> {
  return define('many', describe)
}

/** A query that writes and returns nothing. */
export function write<Values> (describe: Describe<Values, unknown>): (values: Values) => Steps<void> {
  return define('write', describe)
}

function define<Values, Answer> (kind: Statement['kind'], describe: Describe<Values, unknown>): (values: Values) => Steps<Answer> {
  const { sql, parameters } = describe(markers as Values).compile()
  const statement: Statement = { sql, parameters, kind }
  return function * (values) {
    return (yield { statement, values: values as Record<string, unknown> }) as Answer
  }
}

/** Runs rules to their end on a handle, synchronously. */
export function createRunner (database: SqliteDatabase): <Result>(steps: Steps<Result>) => Result {
  const prepared = new Map<Statement, Execute>()

  function execute ({ statement, values }: Query): unknown {
    let ready = prepared.get(statement)
    if (ready === undefined) prepared.set(statement, ready = prepare(database, statement))
    return ready(values)
  }

  return (steps) => {
    let step = steps.next()
    while (step.done !== true) step = steps.next(execute(step.value))
    return step.value
  }
}

function prepare (database: SqliteDatabase, { sql, parameters, kind }: Statement): Execute {
  // The host may have made BigInt the default of its handle.
  const prepared = database.prepare(sql).safeIntegers(false)
  const bind = (values: Record<string, unknown>): unknown[] =>
    parameters.map((parameter) => parameter instanceof Marker ? values[parameter.name] : parameter)

  if (kind === 'write') return (values) => { prepared.run(...bind(values)) }

  // Rows as arrays, made into objects here: better-sqlite3's own objects take about twice as long.
  prepared.raw(true)
  const names = prepared.columns().map((column) => column.name)
  const toRow = (cells: unknown): Record<string, unknown> => {
    const row: Record<string, unknown> = {}
    for (let index = 0; index < names.length; index++) row[names[index] as string] = (cells as unknown[])[index]
    return row
  }
  if (kind === 'many') return (values) => prepared.all(...bind(values)).map(toRow)
  return (values) => {
    const cells = prepared.get(...bind(values))
    return cells === undefined ? undefined : toRow(cells)
  }
}
