// The rules yield queries and are handed their answers: how an engine runs them, at once or over a network, is none
// of their business. What does not depend on each other is yielded together.

import type { Compilable, Kysely } from 'kysely'
import type { Dialect } from './dialect.js'
import type { Tables } from './tables.js'

/** A query as it is written down once; each store compiles it for its engine when it first meets it. */
export interface Description {
  readonly kind: 'one' | 'many' | 'write'
  /** Whether it reads only what no update writes, so that the answer stays the same until somebody else writes. */
  readonly isSteady: boolean
  readonly describe: (db: Kysely<Tables>, values: never, dialect: Dialect) => Compilable
}

/** A description together with the values of one call. */
export interface Query<Answer = unknown> {
  readonly description: Description
  readonly values: object
  /** Only a type: what the query is answered with. */
  readonly answer?: Answer
}

/** Something of the host's that is done on the connection, in the transaction. */
export interface Call<Answer = unknown> {
  readonly call: (connection: never) => Answer
  readonly answer?: Answer
}

export type Question = Query | Call

/** Whether it writes, or is the host's and may do anything. */
export function isWriting (question: Question): boolean {
  return 'call' in question || question.description.kind === 'write'
}

type Describe<Values, Row> = (db: Kysely<Tables>, values: Values, dialect: Dialect) => Compilable<Row>

type QuerySettings = Partial<Pick<Description, 'isSteady'>>

/** A query for at most one row. */
export function one<Values extends object, Row> (
  describe: Describe<Values, Row>, settings?: QuerySettings
): (values: Values) => Query<Row | undefined> {
  return define('one', describe, settings)
}

/** A query for any number of rows. */
export function many<Values extends object, Row> (
  describe: Describe<Values, Row>, settings?: QuerySettings
): (values: Values) => Query<Row[]> {
  return define('many', describe, settings)
}

/** A query that writes and returns nothing. */
export function write<Values extends object> (describe: Describe<Values, unknown>): (values: Values) => Query<undefined> {
  return define('write', describe)
}

function define<Values extends object, Answer> (
  kind: Description['kind'], describe: Describe<Values, unknown>, { isSteady = false }: QuerySettings = {}
): (values: Values) => Query<Answer> {
  const description: Description = { kind, isSteady, describe }
  return (values) => ({ description, values })
}

/** The rules of one operation: a generator that yields queries, as many together as can be, and is handed their answers. */
export type Steps<Result> = Generator<readonly Question[], Result, readonly unknown[]>

/** What became of a transaction whose end nobody has seen; `unknown` where others have written since. */
export type Fate = 'committed' | 'undone' | 'unknown'

type AnswerTo<Asked> = Asked extends Query<infer Answer> ? Answer : undefined
type AnswersTo<Questions extends readonly unknown[]> = { [Index in keyof Questions]: AnswerTo<Questions[Index]> }

/** Asks all at once, to be done in this order. Where a question is undefined, so is its answer. */
export function * ask<const Questions extends ReadonlyArray<Question | undefined>> (...questions: Questions): Steps<AnswersTo<Questions>> {
  const asked = questions.filter((question) => question !== undefined)
  const answers = asked.length === 0 ? [] : yield asked
  if (asked.length === questions.length) return answers as AnswersTo<Questions>
  let taken = 0
  return questions.map((question) => question === undefined ? undefined : answers[taken++]) as AnswersTo<Questions>
}

type ResultOf<Part> = Part extends Steps<infer Result> ? Result : never
type ResultsOf<Parts extends readonly unknown[]> = { [Index in keyof Parts]: ResultOf<Parts[Index]> }

/** Goes through several rules side by side, so that what each asks next is asked together. The first one's refusal comes first. */
export function * together<const Parts extends ReadonlyArray<Steps<unknown>>> (...parts: Parts): Steps<ResultsOf<Parts>> {
  const steps = parts.map((part) => part.next())
  for (;;) {
    const asked: Question[] = []
    for (const step of steps) if (step.done !== true) asked.push(...step.value)
    if (asked.length === 0) return steps.map((step) => step.value) as ResultsOf<Parts>
    const answers = yield asked
    let taken = 0
    for (let index = 0; index < steps.length; index++) {
      const step = steps[index] as IteratorResult<readonly Question[]>
      if (step.done !== true) steps[index] = (parts[index] as Steps<unknown>).next(answers.slice(taken, taken += step.value.length))
    }
  }
}
