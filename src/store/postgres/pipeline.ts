// Sends several queries with one Sync, so that they take one round trip. node-postgres sends a Sync for each query, even in its pipeline
// mode. That costs a third of the processor time of an update. As in pg-cursor, a query object writes to the connection itself.

import { isCommitAmbiguous, isTypeStale, UnusableClientError } from './errors.js'
import type { PostgresClient, PostgresQuery, PostgresResult } from './handle.js'

/** The answers to queries that were sent together. */
export interface Answers {
  /** The results of the queries before the first that failed. */
  results: PostgresResult[]
  /** Why a query failed. Undefined if none did. */
  error: Error | undefined
  /** Whether a COMMIT may have run: one of these queries, or one that `beforeCommit` has sent before. */
  mayBeCommitted: boolean
}

type Parser = (text: string) => unknown
type QueryClass = new (config: { text: string, name: string }) => object

/** The names of the statements that are prepared on a connection, with the parsers of their columns. */
const preparedStatements = new WeakMap<PostgresClient, Map<string, Parser[]>>()
const pipelineClasses = new WeakMap<QueryClass, ReturnType<typeof createPipelineClass>>()

/** How much longer the plugin waits for an answer than the server may work. */
const extraMs = 250
/** With a longer time, setTimeout would call back at once. */
const longestTimerMs = 2 ** 31 - 1

/** The milliseconds until a deadline, for a timeout of the server. At least 1, because 0 would mean no timeout. */
export function serverTimeoutMs (deadline: number): number {
  return Math.ceil(Math.max(deadline - performance.now(), 1))
}

/** How many milliseconds to wait for an answer. The server's own timeout is shorter, so that its error comes first. */
export function answerTimeoutMs (deadline: number): number {
  return Math.min(Math.max(deadline - performance.now(), 0) + extraMs, longestTimerMs)
}

/** More queries are sent in parts, so that the event loop runs between them: a contact with many visitors needs many to rename them. */
export const maxQueries = 1000

/** Sends queries in this order. After one that fails, no other runs. If there is no answer by `deadline`, the connection is ended. */
export async function send (client: PostgresClient, queries: readonly PostgresQuery[], deadline: number): Promise<Answers> {
  if (queries.length > maxQueries) {
    const first = await send(client, queries.slice(0, maxQueries), deadline)
    if (first.error !== undefined) return first
    const rest = await send(client, queries.slice(maxQueries), deadline)
    return { ...rest, results: first.results.concat(rest.results) }
  }
  const timeoutMs = answerTimeoutMs(deadline)
  const { Query } = client.constructor as { Query?: QueryClass }
  let prepared = preparedStatements.get(client)
  if (prepared === undefined) preparedStatements.set(client, prepared = new Map<string, Parser[]>())
  // The host may have written its own client class, without Query.
  if (Query === undefined) return await sendOneByOne(client, queries, prepared, timeoutMs)
  let Pipeline = pipelineClasses.get(Query)
  if (Pipeline === undefined) pipelineClasses.set(Query, Pipeline = createPipelineClass(Query))
  const pipeline = new Pipeline(queries, prepared)
  // A shorter `query_timeout` of the host's pool would end the queries before `deadline`.
  if (Number((client as Connected).connectionParameters?.query_timeout) > 0) pipeline.query_timeout = longestTimerMs
  // With `query_timeout`, node-postgres would wrap `callback` in a function for each query, which takes more processor time.
  const timer = setTimeout(() => {
    pipeline.callback(new Error('Query read timeout'))
    // The server may still run the queries.
    ;(client as Connected).connection?.stream.destroy()
  }, timeoutMs)
  // If the host has wrapped `query`, it may throw or reject, perhaps after it has sent the queries.
  new Promise<unknown>((resolve) => { resolve(client.query(pipeline as never)) }).catch((error: unknown) => { pipeline.callback(error as Error) })
  const error = await pipeline.ended
  clearTimeout(timer)
  return { results: pipeline.results, error, mayBeCommitted: error !== undefined && isCommitAmbiguous(error) }
}

async function sendOneByOne (
  client: PostgresClient, queries: readonly PostgresQuery[], prepared: Map<string, Parser[]>, timeoutMs: number
): Promise<Answers> {
  const results: PostgresResult[] = []
  for (const query of queries) {
    try {
      results.push(await client.query({ ...query, query_timeout: timeoutMs }))
      if (query.name !== '') prepared.set(query.name, [])
    } catch (error) {
      return { results, error: toUnusableIfStale(error as Error, prepared.has(query.name)), mayBeCommitted: isCommitAmbiguous(error) }
    }
  }
  return { results, error: undefined, mayBeCommitted: false }
}

/** If a statement was prepared with other types, the client is unusable: a new one prepares the statement anew. */
function toUnusableIfStale (error: Error, wasPrepared: boolean): Error {
  return wasPrepared && isTypeStale(error) ? new UnusableClientError('a statement was prepared with other types', { cause: error }) : error
}

/** The members of node-postgres' connection that are called here. */
type Connection = Record<'close' | 'parse' | 'bind' | 'describe' | 'execute', (message: object) => void> & {
  sync: () => void
  stream: Record<'cork' | 'uncork' | 'destroy', () => void>
}
type Connected = PostgresClient & { connection?: Connection, connectionParameters?: { query_timeout?: unknown } }

/** Extends the client's own Query class, because a client in pipeline mode accepts no other. */
function createPipelineClass (Query: QueryClass) {
  return class extends Query {
    /** Resolves when everything is answered. Resolves to an error if the server or the connection fails, or time is over. */
    readonly ended: Promise<Error | undefined>
    callback!: (error?: Error) => void
    query_timeout?: number
    readonly results: PostgresResult[] = []
    /** The names of the statements that these queries prepare themselves. */
    private readonly newNames = new Set<string>()
    // The rows of the current query. `rows` is already an option of the class.
    private received: unknown[][] = []

    constructor (private readonly queries: readonly PostgresQuery[], private readonly prepared: Map<string, Parser[]>) {
      // OpenTelemetry copies a query that has no name, to add a comment to its text.
      super({ text: '', name: '' })
      this.ended = new Promise((resolve) => { this.callback = resolve })
    }

    private get current (): PostgresQuery {
      return this.queries[this.results.length] as PostgresQuery
    }

    submit (connection: Connection): null {
      connection.stream.cork()
      try {
        for (const { name, text, values } of this.queries) {
          const isPrepared = this.prepared.has(name)
          if (!isPrepared) {
            // If it was prepared earlier and its execution failed, the server has it, but `prepared` does not.
            connection.close({ type: 'S', name })
            connection.parse({ name, text })
            this.newNames.add(name)
          }
          connection.bind({ statement: name, values })
          if (!isPrepared) connection.describe({ type: 'P' })
          connection.execute({})
        }
        connection.sync()
      } finally {
        connection.stream.uncork()
      }
      return null
    }

    handleRowDescription ({ fields }: { fields: Array<{ dataTypeID: number }> }): void {
      const { name, types } = this.current
      this.prepared.set(name, fields.map(({ dataTypeID }) => types.getTypeParser(dataTypeID)))
    }

    handleDataRow ({ fields }: { fields: Array<string | null> }): void {
      const parsers = this.prepared.get(this.current.name) as Parser[]
      this.received.push(fields.map((text, index) => text === null ? null : (parsers[index] as Parser)(text)))
    }

    handleCommandComplete ({ text }: { text: string }): void {
      const { name } = this.current
      if (name !== '' && !this.prepared.has(name)) this.prepared.set(name, [])
      const [command = ''] = text.split(' ')
      this.results.push({ command, rowCount: null, rows: this.received })
      this.received = []
    }

    handleError (error: Error): void {
      // If all queries are answered, the connection was lost, and there is no such query.
      const name = this.queries[this.results.length]?.name as string
      this.callback(toUnusableIfStale(error, this.prepared.has(name) && !this.newNames.has(name)))
    }

    handleReadyForQuery (): void {
      this.callback()
    }
  }
}
