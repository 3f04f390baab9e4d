// Caches rows that updates do not write: callers, agents, custom fields. They are loaded only inside our own write transaction. There no
// other connection can change them, and the host has no unfinished write that could be rolled back. The cache is cleared after a
// commit of another connection, and after a change of the schema. It is also cleared after a write on this connection outside of updates.

import { sqlite as schema } from '../migrations/generated.js'
import { keyOf, type Query, type QueryDefinition } from '../operation.js'
import { cacheableTables } from '../queries.js'
import type { Connection } from './connection.js'

/** How many rows are cached for each query at most. Enough for all agents who work at the same time. */
const capacity = 1000

export type Cache = ReturnType<typeof createCache>

export function createCache (connection: Connection) {
  const cached = new Map<QueryDefinition, Map<string, unknown>>()
  // What the database had when the rows were cached.
  let dataVersion = -1
  let schemaVersion = -1
  let totalChanges = -1
  /** Whether rows can be cached at all with this schema. */
  let cacheable = false
  /** Whether cached rows can be used in the current transaction. */
  let isValid = false
  /** Whether the schema has triggers or tables of the host that may change what an update writes. */
  let hostMayChangeWrites = true
  let mustCheckWrites = true

  function readNumber (sql: string): number {
    const [number] = connection.get(sql) as [number]
    return number
  }

  return {
    /** Must be called first in each of our transactions. It reads from the database, so it also begins a read transaction. */
    beginTransaction: () => {
      const newDataVersion = readNumber('PRAGMA main.data_version')
      const newSchemaVersion = readNumber('PRAGMA main.schema_version')
      const newTotalChanges = readNumber('SELECT total_changes()')
      if (newDataVersion !== dataVersion || newTotalChanges !== totalChanges || newSchemaVersion !== schemaVersion) cached.clear()
      if (newSchemaVersion !== schemaVersion) {
        // Nothing is cached unless all are real tables. A view may read what an update writes, and a virtual table may change at any time.
        cacheable = readNumber(countTables(cacheableTables)) === cacheableTables.length
        hostMayChangeWrites = readNumber(countCheckedTables) < checkedTables.length || readNumber(countHostTriggers) > 0
      }
      dataVersion = newDataVersion
      schemaVersion = newSchemaVersion
      totalChanges = newTotalChanges
      isValid = cacheable
      // A temporary trigger does not change `schema_version`.
      mustCheckWrites = hostMayChangeWrites || readNumber(countTemporaryTriggers) > 0
    },
    /** Must be called before each further update of the transaction. A trigger of the host may have changed cached rows. */
    revalidate: () => {
      if (mustCheckWrites) isValid &&= readNumber('SELECT total_changes()') === totalChanges
    },
    /** Counts rows that an update has written itself. Otherwise they would count as changes by other code, and invalidate the cache. */
    addOwnChanges: (changes: number) => { totalChanges += changes },
    /** Whether an update must check what it wrote, because a trigger of the host's may have undone it. */
    mustCheckWrites: () => mustCheckWrites,
    /** Must be called before host code gets the connection. Nothing is cached until the next transaction. */
    invalidate: () => {
      isValid = false
      mustCheckWrites = true
      cached.clear()
    },
    /** For reads inside our transactions. */
    getOrLoad: (query: Query, load: (query: Query) => unknown) => {
      const { definition, values } = query
      if (!isValid) return load(query)
      let rows = cached.get(definition)
      if (rows === undefined) cached.set(definition, rows = new Map<string, unknown>())
      const key = keyOf(values)
      const known = rows.get(key)
      if (known !== undefined) return known
      const loaded = load(query)
      // Do not cache misses, because a client without a token could fill the cache with invented keys.
      if (loaded === undefined) return undefined
      if (rows.size === capacity) rows.clear()
      rows.set(key, loaded)
      return loaded
    }
  }
}

/** The tables that the checks of queries.ts read. */
const checkedTables = ['omnichannel_contact', 'omnichannel_contact_email', 'omnichannel_contact_phone']

/** SQL that counts real tables. Views and virtual tables have no root page. */
function countTables (names: readonly string[]): string {
  return `SELECT count(*) FROM main.sqlite_schema WHERE rootpage > 0 AND name IN (${quote(names)})`
}

// Leaves out a table that the host has made with ON CONFLICT IGNORE, in upper or lower case: it drops writes without an error.
const countCheckedTables = `${countTables(checkedTables)} AND instr(upper(sql), 'IGNORE') = 0`

const countHostTriggers = `SELECT count(*) FROM main.sqlite_schema WHERE type = 'trigger' AND name NOT IN (${quote(schema.parts.map(({ creates = '' }) => creates))})`
const countTemporaryTriggers = "SELECT count(*) FROM temp.sqlite_schema WHERE type = 'trigger'"

function quote (names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join()
}
