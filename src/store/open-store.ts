import { isPool, type PostgresPool } from './postgres/handle.js'
import { createPostgresStore } from './postgres/store.js'
import type { SqliteHandle } from './sqlite/handle.js'
import { createSqliteStore } from './sqlite/store.js'
import type { Store } from './store.js'

/** All registrations of the plugin on a database share its store: on SQLite one queue and one set of prepared statements. */
const stores = new WeakMap<SqliteHandle | PostgresPool, Store>()

/**
 * Returns the store for a host's database.
 *
 * @param report is called if an idle connection is lost
 */
export function openStore (database: SqliteHandle | PostgresPool, report: (error: Error) => void): Store {
  let store = stores.get(database)
  if (store === undefined) stores.set(database, store = isPool(database) ? createPostgresStore(database, report) : createSqliteStore(database))
  return store
}
