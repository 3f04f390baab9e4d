import { isPool, type PostgresPool } from './postgres/handle.js'
import { createPostgresStore } from './postgres/store.js'
import type { SqliteHandle } from './sqlite/handle.js'
import { createSqliteStore } from './sqlite/store.js'
import type { Store } from './store.js'

/** All registrations of the plugin on a database share its store: on SQLite one queue and one set of prepared statements. */
const stores = new WeakMap<SqliteHandle | PostgresPool, Store>()

/** @param onIdleError is called if a connection is lost while no request uses it */
export function openStore (database: SqliteHandle | PostgresPool, onIdleError: (error: Error) => void): Store {
  let store = stores.get(database)
  if (store === undefined) stores.set(database, store = isPool(database) ? createPostgresStore(database, onIdleError) : createSqliteStore(database))
  return store
}
