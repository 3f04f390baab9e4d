/** What the plugin asks of the host's pool: a {@link https://node-postgres.com/apis/pool node-postgres} `Pool`, 8.23 or later. */
export interface PostgresPool {
  readonly totalCount: number
  /** How many clients are connected and not in use. */
  readonly idleCount?: number
  /** How many requests wait for a client. */
  readonly waitingCount?: number
  connect (callback: (error: Error | undefined, client: PostgresClient | undefined, done: (destroy?: boolean) => void) => void): void
  query (text: string, values?: unknown[]): Promise<unknown>
  on (event: 'error', listener: (error: Error) => void): unknown
  listenerCount (event: 'error'): number
  end (): Promise<void>
}

/** What the plugin asks of a client of the pool, and what `beforeCommit` is given. */
export interface PostgresClient {
  /** Whether a query is sent while others are still unanswered; set by `pipeline: true` of the pool. */
  readonly pipeline?: boolean
  query (text: string, values?: unknown[]): Promise<PostgresResult>
  query (query: PostgresQuery): Promise<PostgresResult>
  getTransactionStatus (): string | null
  on (event: string, listener: Listener): unknown
  removeListener (event: string, listener: Listener): unknown
  release: (destroy?: boolean) => void
  end: () => Promise<void>
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Listener = (...args: any[]) => void

/** A prepared statement with its values. */
export interface PostgresQuery {
  name: string
  text: string
  values: unknown[]
  rowMode: 'array'
  types: { getTypeParser: (oid: number) => (text: string) => unknown }
  query_timeout?: number
}

/** What a query resolves to. */
export interface PostgresResult {
  command: string
  rowCount: number | null
  rows: unknown[]
}

/** What the plugin looks at in errors and notices. */
export type PostgresError = Partial<Record<'code' | 'message' | 'table' | 'column' | 'routine', unknown>>

/** Whether a pool uses pg-native, whose queries read no rows themselves. pg-native ignores `types` of a query and has no pipeline mode. */
export function isNativePool (value: unknown): boolean {
  const { Query } = (Object(value) as { Client?: { Query?: { prototype: object } } }).Client ?? {}
  return Query !== undefined && !('handleDataRow' in Query.prototype)
}

/** Whether a value is a pool of node-postgres that has not ended. A single client is refused. */
export function isPool (value: unknown): value is PostgresPool {
  try {
    if (isNativePool(value)) return false
    const { totalCount, ending, connect, query, on, listenerCount, end } = value as Partial<PostgresPool & { ending: unknown }>
    return typeof totalCount === 'number' && ending !== true && [connect, query, on, listenerCount, end].every((method) => typeof method === 'function')
  } catch {
    // A getter or a Proxy threw.
    return false
  }
}
