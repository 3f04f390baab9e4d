import { isPool, type PostgresPool } from './postgres/handle.js'
import { postgresStore } from './postgres/store.js'
import type { SqliteHandle } from './sqlite/handle.js'
import { sqliteStore } from './sqlite/store.js'
import type { Store } from './store.js'

/**
 * The store of a host's database, by what it looks like.
 *
 * @param report is told of connections that are lost while nobody uses them
 */
export function openStore (database: SqliteHandle | PostgresPool, report: (error: Error) => void): Store {
  return isPool(database) ? postgresStore(database, report) : sqliteStore(database)
}
