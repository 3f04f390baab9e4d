import { Kysely, SqliteDialect, type SqliteDialectConfig } from 'kysely'
import { compileQuery } from '../compile-query.js'
import { sqliteSql } from '../engine-sql.js'
import { WRITE_WAS_CHANGED, type Query, type QueryDefinition, type Read } from '../operation.js'
import type { Store } from '../store.js'
import type { Tables } from '../tables.js'
import { createCache, type Cache } from './cache.js'
import { isWal, type Connection } from './connection.js'
import { createGroupCommit } from './group-commit.js'
import type { SqliteHandle } from './handle.js'
import { bringUpToDate, checkSchema } from './migrations.js'
import { connect } from './node-sqlite.js'
import { createQueue, maxBatchMs, type Job } from './queue.js'

export function createSqliteStore (database: SqliteHandle): Store {
  const connection = connect(database)
  const cache = createCache(connection)
  const execute = compileQueries(connection, cache)
  const executeCached = (query: Query): unknown => query.definition.cacheable === true ? cache.getOrLoad(query, execute) : execute(query)
  const updates = createGroupCommit(connection, cache, executeCached)
  const reads = createQueue<() => unknown>(connection, (queue) => { readBatch(connection, queue) })

  return {
    engine: 'sqlite',
    migrate: async ({ migrate, lockTimeout }) => {
      await reads.enqueue(() => { (migrate ? bringUpToDate : checkSchema)(connection) }, lockTimeout)
    },
    read: async <Result>({ queries, decide }: Read<Result>, timeoutMs: number) => {
      const read = () => decide(queries.map(execute))
      try {
        // In WAL mode a read need not wait for writers. In a transaction of the host it would see uncommitted rows.
        if (reads.isEmpty() && !connection.inTransaction && isWal(connection)) return read()
      } catch (error) {
        if (!connection.isBusy(error)) throw error
      }
      return await reads.enqueue(read, timeoutMs) as Result
    },
    update: updates.enqueue,
    drain: async () => {
      await reads.drain()
      await updates.drain()
    }
  }
}

/** A read that fails does not affect the others. If the database is busy, the read goes back to the queue. */
function readBatch (connection: Connection, queue: Array<Job<() => unknown>>): void {
  const end = performance.now() + maxBatchMs
  do {
    const job = queue.shift() as Job<() => unknown>
    try {
      job.resolve(job.work())
    } catch (error) {
      if (connection.isBusy(error)) {
        queue.unshift(job)
        throw error
      }
      job.reject(error)
    }
  } while (queue.length > 0 && performance.now() < end)
}

type Execute = (query: Query) => unknown

/** Returns a function that runs a query. It compiles each query when it is first used. */
function compileQueries (connection: Connection, cache: Cache): Execute {
  // This Kysely has no database, so it can only compile. `main` in names excludes temporary tables and attached files.
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({} as SqliteDialectConfig) }).withSchema('main')
  const compiled = new Map<QueryDefinition, Execute>()

  function create (definition: QueryDefinition): Execute {
    const { sql, toRow, bind } = compileQuery(db, sqliteSql, toParameter, definition)
    switch (definition.kind) {
      case 'many': return ({ values }) => connection.all(sql, bind(values)).map(toRow)
      case 'one': return ({ values }) => {
        const cells = connection.get(sql, bind(values))
        return cells === undefined ? undefined : toRow(cells)
      }
      case 'write': return (query) => {
        const changes = connection.run(sql, bind(query.values))
        cache.addOwnChanges(changes)
        const { mustChange } = query
        if (mustChange !== undefined && changes !== mustChange) throw new Error(`${WRITE_WAS_CHANGED}: ${changes} rows instead of ${mustChange} by ${sql}`)
      }
      case 'check': return ({ values, onValue }) => {
        if (!cache.mustCheckWrites()) return
        const [value] = connection.get(sql, bind(values)) as [number | null]
        if (value === null) throw new Error(`${WRITE_WAS_CHANGED}: ${sql}`)
        onValue?.(value)
      }
    }
  }

  return (query) => {
    let execute = compiled.get(query.definition)
    if (execute === undefined) compiled.set(query.definition, execute = create(query.definition))
    return execute(query)
  }
}

function toParameter (value: unknown): unknown {
  return Array.isArray(value) ? JSON.stringify(value) : value
}
