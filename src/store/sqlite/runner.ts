// Rules run to their end synchronously. Nothing here awaits, so a transaction around it cannot be entered by anybody else.

import { Kysely, SqliteDialect, type SqliteDialectConfig } from 'kysely'
import { AsyncBeforeCommitError } from '../../errors.js'
import { compile } from '../compile.js'
import type { Call, Description, Question, Steps } from '../steps.js'
import type { Tables } from '../tables.js'
import { sqliteDialect } from './dialect.js'
import type { SqliteDatabase } from './handle.js'

type Execute = (values: object) => unknown

/** It has no database, so it can only compile. Names are those of `main`: a temporary table or an attached file must not answer for it. */
function createCompiler (): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new SqliteDialect({} as SqliteDialectConfig) }).withSchema('main')
}

/** Prepares each query when it is first met. */
export function createRunner (database: SqliteDatabase): <Result>(steps: Steps<Result>) => Result {
  const db = createCompiler()
  const prepared = new Map<Description, Execute>()

  function execute (question: Question): unknown {
    if ('call' in question) return call(question)
    const { description, values } = question
    let ready = prepared.get(description)
    if (ready === undefined) prepared.set(description, ready = prepare(description))
    return ready(values)
  }

  function call ({ call }: Call): unknown {
    const result = call(database as never)
    if (!(result instanceof Promise)) return result
    // What becomes of it is of no interest any more, but must not end the process.
    result.catch(() => undefined)
    throw new AsyncBeforeCommitError()
  }

  function prepare (description: Description): Execute {
    const { kind, sql, columns, bind } = compile(db, sqliteDialect, description)
    // The host may have made BigInt the default of its handle.
    const statement = database.prepare(sql).safeIntegers(false)
    if (kind === 'write') return (values) => { statement.run(...bind(values)) }

    // Rows as arrays, made into objects here: better-sqlite3's own objects take about twice as long.
    statement.raw(true)
    const toRow = (cells: unknown): Record<string, unknown> => {
      const row: Record<string, unknown> = {}
      for (let index = 0; index < columns.length; index++) row[columns[index] as string] = (cells as unknown[])[index]
      return row
    }
    if (kind === 'many') return (values) => statement.all(...bind(values)).map(toRow)
    return (values) => {
      const cells = statement.get(...bind(values))
      return cells === undefined ? undefined : toRow(cells)
    }
  }

  return (steps) => {
    let step = steps.next()
    while (step.done !== true) step = steps.next(step.value.map(execute))
    return step.value
  }
}
