import { isPool, type PostgresPool } from './postgres/handle.js'
import { postgresStore } from './postgres/store.js'
import type { SqliteHandle } from './sqlite/handle.js'
import { sqliteStore } from './sqlite/store.js'
import type { Store } from './store.js'

/**
 * Makes the store for a host's database.
 *
 * @param report is called if an idle connection is lost
 */
export function openStore (database: SqliteHandle | PostgresPool, report: (error: Error) => void): Store {
  return isPool(database) ? postgresStore(database, report) : sqliteStore(database)
}
