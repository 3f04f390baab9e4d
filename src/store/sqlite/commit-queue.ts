// Updates that wait together share one commit.
//
// A turn takes the updates that have arrived since the last one and runs them one after another inside a single
// BEGIN IMMEDIATE … COMMIT, each in a savepoint of its own, so a refused update undoes only itself. Nobody is
// answered before the COMMIT. A turn waits for nobody to join it: a single update is run in the next setImmediate.

import type { SqliteDatabase, SqliteStatement } from './handle.js'
import { createLine, turnLimit, type Answer, type Line, type Waiting } from './line.js'

/** The updates of one database handle: each is resolved once it is committed, or rejected once it is undone. */
export function createCommitQueue (database: SqliteDatabase): Line {
  const prepared = new Map<string, SqliteStatement>()
  return createLine(database, commitTogether)

  function commitTogether (line: Waiting[], taken: Waiting[]): Answer[] {
    const answers: Answer[] = []
    const end = performance.now() + turnLimit
    const mayShare = (): boolean => taken[0]?.alone === false && line[0]?.alone === false
    run('BEGIN IMMEDIATE')
    try {
      do {
        const update = line.shift() as Waiting
        taken.push(update)
        answers.push(attempt(update))
        if (!database.inTransaction) return startAgain(line, taken, answers)
      } while (mayShare() && performance.now() < end)
      run('COMMIT')
      return answers
    } catch (error) {
      if (database.inTransaction) run('ROLLBACK')
      throw error
    }
  }

  function attempt (update: Waiting): Answer {
    run('SAVEPOINT omnichannel_update')
    try {
      const result = update.work()
      run('RELEASE omnichannel_update')
      return () => { update.resolve(result) }
    } catch (error) {
      if (database.inTransaction) {
        run('ROLLBACK TO omnichannel_update')
        run('RELEASE omnichannel_update')
      }
      // A host's function in a trigger may throw anything, and Fastify takes null for no error.
      return () => { update.reject(error ?? new Error('a function of the host threw no error')) }
    }
  }

  /**
   * The last one taken ended the whole transaction (RAISE(ROLLBACK) in a trigger, a full disk) and undid the others
   * with it: it is answered, they go back to the head of the line.
   */
  function startAgain (line: Waiting[], taken: Waiting[], answers: Answer[]): Answer[] {
    const others = taken.slice(0, -1)
    for (const update of others) update.alone = true
    line.unshift(...others)
    return answers.slice(-1)
  }

  function run (command: string): void {
    let statement = prepared.get(command)
    if (statement === undefined) prepared.set(command, statement = database.prepare(command))
    statement.run()
  }
}
