// What nobody has changed need not be asked again: who may call, who is an agent, which custom fields there are. Any
// commit of another connection, any row that was written on this one by anybody but an update, and any change of the
// schema make all of it forgotten.

import { steadyTables } from '../queries.js'
import type { Description, Query } from '../steps.js'
import type { SqliteDatabase, SqliteStatement } from './handle.js'

/** Enough for all who work at once. */
const capacity = 1000

export interface Memory {
  /** Asks whether it still holds. To be called at the beginning of a transaction that locks everybody else out. */
  lookInside: () => void
  /** The same outside of one, where it holds for this turn of the event loop, as if all were read at its beginning. */
  lookOutside: () => void
  /** Counts the rows that an update has written itself. */
  countOwn: (changes: number) => void
  /** Forgets, and remembers nothing until it looks again: the host's own code may do anything. */
  close: () => void
  /** The answer to a steady query, asked where it is not known. */
  recall: (query: Query, ask: (values: object) => unknown) => unknown
}

export function createMemory (database: SqliteDatabase): Memory {
  const answers = new Map<Description, Map<string, unknown>>()
  const prepared = new Map<string, SqliteStatement>()
  let [dataVersion, schemaVersion, changes] = [-1, -1, -1]
  let isOpen = false
  let isTable = false
  let looked = false
  // Between a look inside of a transaction and the first write nobody else has had a chance.
  let isAlone = false

  function ask (sql: string): number {
    let statement = prepared.get(sql)
    if (statement === undefined) prepared.set(sql, statement = database.prepare(sql).safeIntegers(false).pluck(true))
    return statement.get() as number
  }

  function look (schema: number): void {
    const [data, total] = [ask('PRAGMA main.data_version'), ask('SELECT total_changes()')]
    if (data !== dataVersion || total !== changes || schema !== schemaVersion) {
      answers.clear()
      // A view may read what an update writes, and a table of the host's own making may change its mind at any time.
      if (schema !== schemaVersion) isTable = ask(countTables) === steadyTables.length
    }
    ;[dataVersion, schemaVersion, changes] = [data, schema, total]
    isOpen = isTable
    if (looked) return
    looked = true
    setImmediate(() => { looked = false })
  }
  return {
    lookInside: () => {
      look(ask('PRAGMA main.schema_version'))
      isAlone = true
    },
    lookOutside: () => {
      isAlone = false
      if (!looked) look(schemaVersion)
    },
    countOwn: (count) => {
      changes += count
      isAlone = false
    },
    close: () => {
      isOpen = false
      answers.clear()
    },
    recall: ({ description, values }, askAnew) => {
      if (!isOpen || !(isAlone || ask('SELECT total_changes()') === changes)) return askAnew(values)
      const known = answers.get(description) ?? new Map<string, unknown>()
      if (known.size === 0) answers.set(description, known)
      const key = keyOf(values)
      const remembered = known.get(key)
      if (remembered !== undefined) return remembered
      const answer = askAnew(values)
      // Whoever is not known may be anybody, and so is not remembered.
      if (answer === undefined) return undefined
      if (known.size === capacity) known.clear()
      known.set(key, answer)
      return answer
    }
  }
}

/** As JSON would say it, in a fraction of the time. */
function keyOf (values: object): string {
  let key = ''
  for (const value of Object.values(values) as string[]) key += `${value.length}:${value}`
  return key
}

// Neither a view nor a virtual table has a page.
const countTables = `SELECT count(*) FROM main.sqlite_schema WHERE rootpage > 0 AND name IN (${steadyTables.map((name) => `'${name}'`).join()})`
