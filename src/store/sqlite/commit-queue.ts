// Updates that wait together share one commit.
//
// A turn takes the updates that have arrived since the last one and runs them one after another inside a single
// transaction, which has the lock of a writer from its beginning. Nobody is answered before the COMMIT. A turn waits for
// nobody to join it: a single update is run in the next setImmediate.
//
// What is refused has written nothing, as a rule, and so undoes nothing. Where an update fails after it has written, the
// whole transaction is undone and the others are run again; then, and where the host's own code may refuse what was
// written, each has a savepoint of its own, so that it undoes only itself.

import type { SqliteDatabase, SqliteStatement } from './handle.js'
import type { Journal } from './journal.js'
import { createLine, turnLimit, type Answer, type Line, type Waiting } from './line.js'

/** After an update that failed when it had written, so many have savepoints. */
const carefulFor = 1000

/**
 * The updates of one database handle: each is resolved once it is committed, or rejected once it is undone.
 *
 * @param look reads at the beginning of each transaction, before the first update
 */
export function createCommitQueue (database: SqliteDatabase, journal: Journal, look: () => void): Line {
  const prepared = new Map<string, SqliteStatement>()
  let careful = 0
  return createLine(database, journal, commitTogether)

  function commitTogether (line: Waiting[], taken: Waiting[]): Answer[] {
    const answers: Answer[] = []
    const end = performance.now() + turnLimit
    const mayShare = (): boolean => taken[0]?.alone === false && line[0]?.alone === false
    const turn: Turn = { hostWasCalled: false, isUndone: false }
    run(journal.isWal ? 'BEGIN' : 'BEGIN IMMEDIATE')
    try {
      look()
      // Who reads already is refused the lock of a writer at once, whatever the busy timeout, which need not be touched then.
      if (journal.isWal) run('DELETE FROM main.omnichannel_migration WHERE 0')
      do {
        const update = line.shift() as Waiting
        taken.push(update)
        answers.push(attempt(update, turn, taken.length === 1))
        if (!database.inTransaction) return startAgain(line, taken, answers, turn)
      } while (mayShare() && performance.now() < end)
      run('COMMIT')
      return answers
    } catch (error) {
      if (database.inTransaction) run('ROLLBACK')
      throw error
    }
  }

  function attempt (update: Waiting, turn: Turn, isFirst: boolean): Answer {
    const writing: Writing = { hasBegun: false, isGuarded: false }
    const isCareful = careful > 0
    if (isCareful) careful--
    const beforeWriting = (callsHost: boolean): void => {
      writing.hasBegun = true
      turn.hostWasCalled ||= callsHost
      // With the first one's writes nobody else's are undone. A host that ends the transaction is found out by its savepoint.
      if (!callsHost && (isFirst || !(turn.hostWasCalled || isCareful))) return
      run('SAVEPOINT omnichannel_update')
      writing.isGuarded = true
    }
    try {
      const result = update.work(beforeWriting)
      if (writing.isGuarded) run('RELEASE omnichannel_update')
      return () => { update.resolve(result) }
    } catch (error) {
      if (database.inTransaction) undo(writing, turn)
      // A host's function in a trigger may throw anything, and Fastify takes null for no error.
      return () => { update.reject(error ?? new Error('a function of the host threw no error')) }
    }
  }

  function undo ({ hasBegun, isGuarded }: Writing, turn: Turn): void {
    if (isGuarded) {
      run('ROLLBACK TO omnichannel_update')
      run('RELEASE omnichannel_update')
    } else if (hasBegun) {
      run('ROLLBACK')
      turn.isUndone = true
      careful = carefulFor
    }
  }

  /**
   * With the last one taken the whole transaction was undone, and the others with it: it is answered, they go back to the
   * head of the line. Where it was not undone here (RAISE(ROLLBACK) in a trigger, a full disk) no savepoint would help.
   */
  function startAgain (line: Waiting[], taken: Waiting[], answers: Answer[], { isUndone }: Turn): Answer[] {
    const others = taken.slice(0, -1)
    for (const update of others) update.alone ||= !isUndone
    line.unshift(...others)
    return answers.slice(-1)
  }

  function run (command: string): void {
    let statement = prepared.get(command)
    if (statement === undefined) prepared.set(command, statement = database.prepare(command))
    statement.run()
  }
}

interface Turn {
  /** Whether the host's own code has had the connection. */
  hostWasCalled: boolean
  /** Whether all of it was undone, for the sake of one. */
  isUndone: boolean
}

/** What one update has written. */
interface Writing {
  hasBegun: boolean
  /** Whether a savepoint was set before. */
  isGuarded: boolean
}
