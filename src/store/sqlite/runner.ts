// Rules run to their end synchronously. Nothing here awaits, so a transaction around it cannot be entered by anybody else.

import { Kysely, SqliteDialect, type SqliteDialectConfig } from 'kysely'
import { AsyncBeforeCommitError } from '../../errors.js'
import { compile } from '../compile.js'
import { isWriting, type Call, type Description, type Question, type Steps } from '../steps.js'
import type { Tables } from '../tables.js'
import { sqliteDialect } from './dialect.js'
import type { SqliteDatabase } from './handle.js'
import type { Memory } from './memory.js'

type Execute = (values: object) => unknown

/** It has no database, so it can only compile. Names are those of `main`: a temporary table or an attached file must not answer for it. */
function createCompiler (): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new SqliteDialect({} as SqliteDialectConfig) }).withSchema('main')
}

/** Told of the step that writes, before it does. */
export type BeforeWriting = (callsHost: boolean) => void

export type Run = <Result>(steps: Steps<Result>, beforeWriting?: BeforeWriting) => Result

/** Prepares each query when it is first met. */
export function createRunner (database: SqliteDatabase, memory: Memory): Run {
  const db = createCompiler()
  const prepared = new Map<Description, Execute>()

  function execute (question: Question): unknown {
    if ('call' in question) return call(question)
    const { description, values } = question
    let ready = prepared.get(description)
    if (ready === undefined) prepared.set(description, ready = prepare(description))
    return description.isSteady ? memory.recall(question, ready) : ready(values)
  }

  function call ({ call }: Call): unknown {
    memory.close()
    const result = call(database as never)
    if (!(result instanceof Promise)) return result
    // What becomes of it is of no interest any more, but must not end the process.
    result.catch(() => undefined)
    throw new AsyncBeforeCommitError()
  }

  function prepare (description: Description): Execute {
    const { kind, sql, toRow, bind } = compile(db, sqliteDialect, description)
    // The host may have made BigInt the default of its handle.
    const statement = database.prepare(sql).safeIntegers(false)
    if (kind === 'write') return (values) => { memory.countOwn((statement.run(...bind(values)) as { changes: number }).changes) }

    // Rows as arrays, made into objects here: better-sqlite3's own objects take about twice as long.
    statement.raw(true)
    if (kind === 'many') return (values) => statement.all(...bind(values)).map(toRow)
    return (values) => {
      const cells = statement.get(...bind(values))
      return cells === undefined ? undefined : toRow(cells)
    }
  }

  return (steps, beforeWriting) => {
    let step = steps.next()
    while (step.done !== true) {
      const { value: questions } = step
      if (questions.some(isWriting)) beforeWriting?.(questions.some((question) => 'call' in question))
      step = steps.next(questions.map(execute))
    }
    return step.value
  }
}
