// Several statements with one Sync, so that they take one round trip. node-postgres' own queries have a Sync each, even in its
// pipeline mode, which costs a third of the processor time of an update. Made as pg-cursor is: a query that writes to the
// connection itself and is handed the answers.

import { isCommitAmbiguous } from './errors.js'
import type { PostgresClient, PostgresQuery, PostgresResult } from './handle.js'

export type Outcome = { result: PostgresResult } | { error: unknown }

interface Connection {
  stream: { cork: () => void, uncork: () => void }
  close: (statement: { type: 'S', name: string }) => void
  parse: (statement: { name: string, text: string }) => void
  bind: (portal: { portal: '', statement: string, values: unknown[], valueMapper: (value: unknown) => unknown }) => void
  describe: (portal: { type: 'P', name: '' }) => void
  execute: (portal: { portal: '', rows: 0 }) => void
  sync: () => void
}

type Parser = (text: string) => unknown
type QueryClass = new (text: string) => object

/** The statements that are prepared on a connection, with the parsers of their columns. */
const prepared = new WeakMap<PostgresClient, Map<string, Parser[]>>()
const classes = new WeakMap<QueryClass, ReturnType<typeof extend>>()

/** The server is given this much longer than its own timeout says, so that its error comes first. */
const extraMs = 250

/**
 * Sends queries in their order, and returns what became of each up to the first error, after which the server has done nothing
 * more. Where the connection was lost, its error stands for all queries that may have been done. What is not answered by
 * `deadline` ends the connection.
 */
export async function send (client: PostgresClient, queries: readonly PostgresQuery[], deadline: number): Promise<Outcome[]> {
  const timeoutMs = Math.max(deadline - performance.now(), 0) + extraMs
  const Query = queryClassOf(client)
  // The client of pg-native has none.
  if (Query === undefined) return await sendOneByOne(client, queries, timeoutMs)
  const outcomes = await sendTogether(client, Query, queries, timeoutMs)
  const last = outcomes.at(-1)
  if (last !== undefined && 'error' in last && isCommitAmbiguous(last.error)) {
    while (outcomes.length < queries.length) outcomes.push(last)
  }
  return outcomes
}

/** The results of all, or else the error of the first that failed. */
export function resultsOf (outcomes: readonly Outcome[]): PostgresResult[] {
  return outcomes.map((outcome) => {
    if ('error' in outcome) throw outcome.error
    return outcome.result
  })
}

async function sendOneByOne (client: PostgresClient, queries: readonly PostgresQuery[], timeoutMs: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const query of queries) {
    try {
      outcomes.push({ result: await client.query({ ...query, query_timeout: timeoutMs } as PostgresQuery) })
    } catch (error) {
      outcomes.push({ error })
      break
    }
  }
  return outcomes
}

async function sendTogether (
  client: PostgresClient, Query: QueryClass, queries: readonly PostgresQuery[], timeoutMs: number
): Promise<Outcome[]> {
  let Pipeline = classes.get(Query)
  if (Pipeline === undefined) classes.set(Query, Pipeline = extend(Query))
  let statements = prepared.get(client)
  if (statements === undefined) prepared.set(client, statements = new Map<string, Parser[]>())
  const pipeline = new Pipeline(queries, statements, timeoutMs)
  void client.query(pipeline as never)
  return await pipeline.answered
}

function queryClassOf (client: PostgresClient): QueryClass | undefined {
  return (client.constructor as { Query?: QueryClass }).Query
}

/** Of the client's own class, because a pipelining client takes no other. */
function extend (Query: QueryClass) {
  return class extends Query {
    readonly answered: Promise<Outcome[]>
    /** Called by node-postgres when all is answered, or with what went wrong, also with its clock or the connection. */
    callback!: (error?: unknown) => void
    private readonly outcomes: Outcome[] = []
    // Not `rows`, which is an option of the class.
    private received: unknown[][] = []

    constructor (
      private readonly queries: readonly PostgresQuery[], private readonly statements: Map<string, Parser[]>, readonly query_timeout: number
    ) {
      super('')
      this.answered = new Promise((resolve) => {
        this.callback = (error) => {
          if (error !== undefined) this.outcomes.push({ error })
          resolve(this.outcomes)
        }
      })
    }

    private get current (): PostgresQuery {
      return this.queries[this.outcomes.length] as PostgresQuery
    }

    submit (connection: Connection): null {
      connection.stream.cork()
      try {
        for (const { name, text, values } of this.queries) {
          const isKnown = this.statements.has(name)
          if (!isKnown) {
            // It may be prepared although it is not known: it failed when it was executed.
            connection.close({ type: 'S', name })
            connection.parse({ name, text })
          }
          connection.bind({ portal: '', statement: name, values, valueMapper: (value) => value })
          if (!isKnown) connection.describe({ type: 'P', name: '' })
          connection.execute({ portal: '', rows: 0 })
        }
        connection.sync()
      } finally {
        connection.stream.uncork()
      }
      return null
    }

    handleRowDescription ({ fields }: { fields: Array<{ dataTypeID: number }> }): void {
      const { name, types } = this.current
      this.statements.set(name, fields.map(({ dataTypeID }) => types.getTypeParser(dataTypeID)))
    }

    handleDataRow ({ fields }: { fields: Array<string | null> }): void {
      const parsers = this.statements.get(this.current.name) as Parser[]
      this.received.push(fields.map((text, index) => text === null ? null : (parsers[index] as Parser)(text)))
    }

    handleCommandComplete ({ text }: { text: string }): void {
      const { name } = this.current
      if (!this.statements.has(name)) this.statements.set(name, [])
      const [command = ''] = text.split(' ')
      this.outcomes.push({ result: { command, rowCount: null, rows: this.received } })
      this.received = []
    }

    handleError (error: unknown): void {
      this.callback(error)
    }

    handleReadyForQuery (): void {
      this.callback()
    }
  }
}
