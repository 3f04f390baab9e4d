// Several statements with one Sync, as the protocol is meant to be used: node-postgres' own queries have a Sync each, and
// a wake-up, a flush and an object of everything on both sides with it, which is a third of all the time that an update
// takes. Made as pg-cursor is: a query that writes to the connection itself, and is handed what comes back.

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

/** What is prepared on a connection, with what reads the columns of its rows. */
const prepared = new WeakMap<PostgresClient, Map<string, Parser[]>>()
const classes = new WeakMap<QueryClass, ReturnType<typeof extend>>()

/** Whether the client takes such queries: that of pg-native does not. */
export function takesBatches (client: PostgresClient): boolean {
  return queryClassOf(client) !== undefined
}

/** Resolves to the outcomes up to the first error, after which the server has done nothing more. */
export async function runBatch (client: PostgresClient, queries: readonly PostgresQuery[], timeout: number): Promise<Outcome[]> {
  const Query = queryClassOf(client) as QueryClass
  let Batch = classes.get(Query)
  if (Batch === undefined) classes.set(Query, Batch = extend(Query))
  let statements = prepared.get(client)
  if (statements === undefined) prepared.set(client, statements = new Map<string, Parser[]>())
  const batch = new Batch(queries, statements, timeout)
  void client.query(batch as never)
  return await batch.answered
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
            // One that was prepared, and then failed, is not known.
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
