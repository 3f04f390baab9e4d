// Imports one file, in one transaction or in batches. The file is read as a stream while the transaction is open: nothing else uses
// this handle.

import { addAbortSignal, type Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Connection } from '../../store/sqlite/connection.js'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'
import { createProgress, print, report } from '../output.js'
import type { Collection, Outcome } from './collection.js'
import { readLines } from './lines.js'
import { lineStore, skipBadLines } from './store-line.js'

export interface ExportFile {
  collection: Collection
  /** - for stdin */
  file: string
  /** Unless it is a pipe. */
  bytes?: number
}

export interface ImportSettings {
  skipsBadLines: boolean
  /** Lines in a transaction; Infinity for the whole file. */
  batch: number
  dryRun: boolean
}

type Counts = Record<Outcome | 'skipped', number>

/** @throws {CommandError} */
export async function importFile (
  database: Connection, { collection, file, bytes }: ExportFile, input: Readable, settings: ImportSettings, io: Io, signal: AbortSignal
): Promise<Counts> {
  const lines = readLines(addAbortSignal(signal, input))
  const progress = createProgress(io, collection.name, { totalBytes: bytes })
  const letOthersWrite = yieldWriteLock(signal)
  const counts: Counts = { new: 0, updated: 0, ignored: 0, skipped: 0 }
  const inBatches = settings.batch !== Infinity
  let restoreIndexes: Array<() => void> = []
  let number = 0
  let committed = 0

  const reportLine = (sentence: string): void => {
    progress.clear()
    report(io, `${file}, line ${number}: ${sentence}`)
  }
  const storeGoodLine = lineStore(database, collection, reportLine)
  const store = settings.skipsBadLines ? skipBadLines(database, storeGoodLine, reportLine) : storeGoodLine
  const begin = (): void => {
    if (database.inTransaction) return
    database.exec('BEGIN IMMEDIATE')
    if (!inBatches) restoreIndexes = deferIndexes(database)
  }
  const commit = (): void => {
    if (database.inTransaction) database.exec('COMMIT')
    committed = number
  }

  try {
    for (;;) {
      const next = lines.next()
      // Do not hold the write lock while the input has nothing ready.
      if (inBatches && !await arrivesSoon(next)) commit()
      const { value, done } = await next
      if (done === true) break
      for (const line of value.lines) {
        begin()
        number++
        if (typeof line === 'string' && line.trim() === '') continue
        counts[store(line)]++
        if (number - committed >= settings.batch) {
          commit()
          await letOthersWrite()
        }
      }
      progress.advance(value.lines.length, value.bytes)
    }
    for (const restoreIndex of restoreIndexes) {
      restoreIndex()
      await lookForSignals(signal)
    }
    if (settings.dryRun) database.exec('ROLLBACK')
    else commit()
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK')
    const where = number === 0 ? file : `${file}, line ${number}`
    const kept = committed === 0 ? 'nothing of this file was imported' : `the first ${committed} lines were imported`
    throw new CommandError(`${where}: ${signal.aborted ? 'interrupted' : (error as Error).message}; ${kept}`, { cause: error })
  } finally {
    progress.clear()
  }
  const figures = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  const hint = counts.ignored > 0 && counts.new + counts.updated === 0 ? `; no ${String(collection.wanted)} among ${counts.ignored}` : ''
  print(io, `${collection.name}: ${figures} (${progress.perSecond()} lines/s)${hint}${dryRunNote(settings)}\n`)
  return counts
}

export function dryRunNote ({ dryRun }: ImportSettings): string {
  return dryRun ? '; a dry run, nothing was written' : ''
}

async function arrivesSoon (lines: Promise<unknown>): Promise<boolean> {
  return await Promise.race([lines.then(() => true), pause(20, false, { ref: false })])
}

/**
 * Drops the indexes of contacts while the first contacts are imported: sorting once at the end is much faster than inserting in random
 * order. Returns functions that each create an index again. A rollback restores all of them.
 */
function deferIndexes (database: Connection): Array<() => void> {
  const indexes = database.all(`
    SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'omnichannel\\_contact\\_%' ESCAPE '\\'
      AND NOT EXISTS (SELECT 1 FROM omnichannel_contact)`) as Array<[name: string, sql: string]>
  for (const [name] of indexes) database.exec(`DROP INDEX "${name}"`)
  return indexes.map(([, sql]) => () => { database.exec(sql) })
}

const maxHold = 50 // ms
// A server that waits for the write lock tries every 16 ms, and its timer may be late.
const release = 25 // ms

/** Returns a function to await between two batches. It pauses only after `maxHold`: a pause after every small batch would take hours. */
function yieldWriteLock (signal: AbortSignal): () => Promise<void> {
  let heldSince = performance.now()
  return async () => {
    if (performance.now() - heldSince < maxHold) return
    await pause(release, undefined, { signal })
    heldSince = performance.now()
  }
}

/** Rejects when a signal has arrived. Node.js looks for signals between two turns of the event loop, so one turn may miss it. */
async function lookForSignals (signal: AbortSignal): Promise<void> {
  await nextTurn()
  await nextTurn(undefined, { signal })
}
