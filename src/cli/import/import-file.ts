// Imports one file, in one transaction or in batches. The transaction stays open while the file is read: nothing else uses the handle.

import { addAbortSignal, type Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { commit, type Connection } from '../../store/sqlite/connection.js'
import { codeOf, CommandError } from '../errors.js'
import { createProgress, print, report } from '../output.js'
import type { Io } from '../shared.js'
import type { CollectionName } from './collections.js'
import { BadLineError, readId } from './extended-json.js'
import { readDocument, readLines, type Line } from './read-lines.js'
import { importedDocuments, storeDocument } from './store-document.js'

export interface ExportFile {
  name: CollectionName
  /** The path, or `-` for stdin. */
  file: string
  /** Its size. Undefined for a pipe. */
  bytes: number | undefined
}

export interface ImportOptions {
  database: string
  create?: boolean
  folder?: string
  onError: 'skip' | 'fail'
  /** Lines in a transaction. */
  batch?: number
  dryRun?: boolean
  disableMissing?: boolean
}

/** How long batches run without a pause for other writers. Pauses after all small batches would take hours together. */
const maxLockMs = 50
/** How long a batch holds the write lock while no line arrives. */
const maxWaitMs = 20
/** Longer than the 16 ms after which a server tries to get the write lock again, because its timer may be late. */
const pauseMs = 25

export const dryRunNote = '; a dry run, nothing was written'

/** Returns how many lines were skipped. Adds the ids of the stored documents to `exported`. */
export async function importFile (
  database: Connection, { name, file, bytes }: ExportFile, input: Readable, options: ImportOptions,
  exported: Set<string> | undefined, io: Io, signal: AbortSignal
): Promise<number> {
  const { onError, dryRun = false } = options
  const batch = dryRun ? Infinity : options.batch ?? Infinity
  const lines = readLines(addAbortSignal(signal, input))
  const progress = createProgress(io, name, { totalBytes: bytes })
  let createIndexes: string[] = []
  let lineNumber = 0
  let committedLines = 0
  let lockedSince = performance.now()

  const { counts, store } = createLineStore(database, name, onError, exported, (sentence) => {
    progress.clear()
    report(io, `${file}, line ${lineNumber}: ${sentence}`)
  })
  const commitLines = (): void => {
    if (database.inTransaction) commit(database)
    committedLines = lineNumber
  }

  try {
    // Moves earlier commits into the file. If this import then fills the disk, SQLite can remove the log, because no commits are in it.
    if (!dryRun) database.exec('PRAGMA wal_checkpoint(PASSIVE)')
    for (;;) {
      const next = lines.next()
      if (batch !== Infinity) {
        const hasArrived = await Promise.race([next.then(() => true), pause(maxWaitMs, false, { ref: false })])
        if (!hasArrived) commitLines()
      }
      const { value, done } = await next
      if (done === true) break
      for (const line of value.lines) {
        if (!database.inTransaction) {
          database.exec('BEGIN IMMEDIATE')
          if (batch === Infinity) createIndexes = dropIndexes(database)
        }
        lineNumber++
        if (typeof line === 'string' && line.trim() === '') continue
        store(line)
        if (lineNumber - committedLines < batch) continue
        commitLines()
        if (performance.now() - lockedSince < maxLockMs) continue
        await pause(pauseMs, undefined, { signal })
        lockedSince = performance.now()
      }
      progress.advance(value.lines.length, value.bytes)
    }
    for (const sql of createIndexes) {
      database.exec(sql)
      // A signal needs up to two turns of the event loop to arrive.
      await nextTurn()
      await nextTurn(undefined, { signal })
    }
    if (!dryRun) commitLines()
  } catch (error) {
    const where = lineNumber === 0 ? file : `${file}, line ${lineNumber}`
    const imported = committedLines === 0 ? 'nothing of this file was imported' : `the first ${committedLines} lines were imported`
    throw new CommandError(`${where}: ${signal.aborted ? 'interrupted' : (error as Error).message}; ${imported}`, { cause: error })
  } finally {
    if (database.inTransaction) database.exec('ROLLBACK')
    progress.clear()
  }
  const result = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  const hint = counts.ignored > 0 && counts.new + counts.updated === 0 ? `; no ${String(importedDocuments[name])} among ${counts.ignored}` : ''
  print(io, `${name}: ${result} (${progress.perSecond()} lines/s)${hint}${dryRun ? dryRunNote : ''}\n`)
  return counts.skipped
}

/**
 * `store` stores the document of a line, and counts its outcome. With `skip`, it reports a bad line and goes on.
 *
 * @param exported gets the ids of the stored documents
 * @param reportLine reports a sentence about the current line
 */
function createLineStore (
  database: Connection, name: CollectionName, onError: ImportOptions['onError'], exported: Set<string> | undefined, reportLine: (sentence: string) => void
) {
  const counts = { new: 0, updated: 0, ignored: 0, skipped: 0 }

  function storeOrThrow (line: Line): void {
    const isRightFile = counts.new + counts.updated + counts.ignored > 0
    const document = readDocument(line, name, isRightFile)
    const outcome = storeDocument[name](database, document, (sentence) => { reportLine(`Warning: ${sentence}`) })
    counts[outcome]++
    exported?.add(readId(document))
  }

  function storeOrSkip (line: Line): void {
    // The database may refuse a row after it has stored others of the same line.
    database.run('SAVEPOINT line')
    try {
      storeOrThrow(line)
    } catch (error) {
      if (!isBadLine(error, database)) throw error
      database.run('ROLLBACK TO line')
      reportLine(`${error.message} (skipped)`)
      counts.skipped++
    } finally {
      if (database.inTransaction) database.run('RELEASE line')
    }
  }

  return { counts, store: onError === 'skip' ? storeOrSkip : storeOrThrow }
}

/**
 * Drops the indexes of contacts if there is no contact yet, and returns the SQL that creates them again. Sorting once at the end is much
 * faster than inserting in random order. UNIQUE indexes of the host stay, because they refuse rows. A rollback restores the others.
 */
function dropIndexes (database: Connection): string[] {
  const indexes = database.all(`
    SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql NOT LIKE 'CREATE UNIQUE %' AND tbl_name LIKE 'omnichannel\\_contact\\_%' ESCAPE '\\'
      AND NOT EXISTS (SELECT 1 FROM omnichannel_contact)`) as Array<[name: string, sql: string]>
  for (const [name] of indexes) database.exec(`DROP INDEX "${name}"`)
  return indexes.map(([, sql]) => sql)
}

/** Whether a line cannot be read, or breaks a constraint. If a trigger of the host refuses a row or ends the transaction, the import fails. */
function isBadLine (error: unknown, database: Connection): error is Error {
  return error instanceof BadLineError || (/^SQLITE_CONSTRAINT(?!_TRIGGER)/.test(codeOf(error)) && database.inTransaction)
}
