import type { Store } from '../store.js'
import { connectBetterSqlite3 } from './better-sqlite3.js'
import { isBusy } from './busy.js'
import { createCommitQueue } from './commit-queue.js'
import type { SqliteDatabase } from './handle.js'
import { createJournal } from './journal.js'
import { createLine, turnLimit, type Waiting } from './line.js'
import { createMemory } from './memory.js'
import { checkSchema, pendingScript } from './migrations.js'
import { createRunner } from './runner.js'

const stores = new WeakMap<SqliteDatabase, Store>()

/** One queue and one set of prepared statements for each handle, however often the plugin is registered on it. */
export function sqliteStore (database: SqliteDatabase): Store {
  let store = stores.get(database)
  if (store === undefined) stores.set(database, store = createStore(database))
  return store
}

function createStore (database: SqliteDatabase): Store {
  const connection = connectBetterSqlite3(database)
  const memory = createMemory(database)
  const run = createRunner(database, memory)
  const journal = createJournal(database)
  const reads = createLine(database, journal, readInTurn)
  const commits = createCommitQueue(database, journal, memory.lookInside)

  return {
    migrate: async ({ migrate, lockTimeout }) => {
      const isDone = !migrate || await reads.wait(() => pendingScript(connection) === '', lockTimeout)
      if (!isDone) await commits.wait((beforeWriting) => {
        beforeWriting?.(false)
        connection.exec(pendingScript(connection))
      }, lockTimeout)
      await reads.wait(() => {
        checkSchema(connection)
        journal.look()
      }, lockTimeout)
    },
    read: async (steps, lockTimeout) => {
      // A read need not guard against waiting then; and what the host has not committed yet may never have been.
      if (journal.isWal && reads.isEmpty() && !database.inTransaction) {
        try {
          memory.lookOutside()
          return run(steps())
        } catch (error) {
          if (!isBusy(error)) throw error
        }
      }
      return await reads.wait(() => {
        journal.look()
        memory.lookOutside()
        return run(steps())
      }, lockTimeout)
    },
    update: async (steps, lockTimeout) => await commits.wait((beforeWriting) => run(steps(), beforeWriting), lockTimeout),
    settled: async () => {
      await reads.settled()
      await commits.settled()
    }
  }
}

/** Each is answered by its own result; only a busy database sends the one who met it back. */
function readInTurn (line: Waiting[], taken: Waiting[]): [] {
  const end = performance.now() + turnLimit
  do {
    const reading = line.shift() as Waiting
    taken[0] = reading
    try {
      reading.resolve(reading.work())
    } catch (error) {
      if (isBusy(error)) throw error
      reading.reject(error)
    }
  } while (line.length > 0 && performance.now() < end)
  return []
}
