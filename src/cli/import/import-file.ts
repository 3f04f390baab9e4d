// One file into the database, in one transaction unless batches are asked for. The file is read as a stream and the
// transaction stays open meanwhile: nobody else uses this handle.

import type Database from 'better-sqlite3'
import { addAbortSignal, type Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Io } from '../command.js'
import { CommandError, InterruptedError } from '../errors.js'
import { createProgress, print, report } from '../output.js'
import type { Collection, Outcome } from './collection.js'
import { readLines, type Line } from './lines.js'
import { prepareStore } from './store-line.js'

export interface ExportFile {
  collection: Collection
  /** - for stdin */
  file: string
  /** Where it is known beforehand. */
  bytes?: number
}

export interface ImportSettings {
  skipsBadLines: boolean
  /** Lines in a transaction; Infinity for the whole file. */
  batch: number
  dryRun: boolean
}

const longestHold = 50 // ms
// A server that waits for the write lock looks again after 16 ms at most, and its timer may be late.
const gap = 25 // ms
const longestWait = 20 // ms

type Counts = Record<Outcome | 'skipped', number>

/**
 * Imports a file and says what became of it.
 *
 * @throws {CommandError}
 */
export async function importFile (
  database: Database.Database, { collection, file, bytes }: ExportFile, stream: Readable, settings: ImportSettings, io: Io, signal: AbortSignal
): Promise<Counts> {
  const lines = readLines(addAbortSignal(signal, stream))
  const progress = createProgress(io.stderr, collection.name, bytes)
  const letOthersIn = yieldWriteLock(signal)
  const counts: Counts = { new: 0, updated: 0, ignored: 0, skipped: 0 }
  const inBatches = settings.batch !== Infinity
  let store: ReturnType<typeof prepareStore> | undefined
  let restoreIndexes: Array<() => void> = []
  let number = 0
  let committed = 0
  const tell = (sentence: string): void => {
    progress.clear()
    report(io, `${file}, line ${number}: ${sentence}`)
  }
  const begin = (): ReturnType<typeof prepareStore> => {
    if (!database.inTransaction) database.exec('BEGIN IMMEDIATE')
    if (store !== undefined) return store
    if (!inBatches) restoreIndexes = deferIndexes(database)
    return store = prepareStore(database, collection, tell, settings.skipsBadLines)
  }
  const commit = (): void => {
    if (database.inTransaction) database.exec('COMMIT')
    committed = number
  }

  try {
    for (;;) {
      const next = lines.next()
      // The lock is not held while the input has nothing ready; a file always has.
      if (inBatches && bytes === undefined && !await isReady(next)) commit()
      const { value, done } = await next
      if (done === true) break
      for (const line of value.lines) {
        const put = begin()
        number++
        if (isBlank(line)) continue
        counts[put(line)]++
        if (number - committed >= settings.batch) {
          commit()
          await letOthersIn()
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
    if (signal.aborted) throw new InterruptedError(`${where}: interrupted; ${kept}`, signal.reason as NodeJS.Signals)
    throw new CommandError(`${where}: ${(error as Error).message}; ${kept}`, { cause: error })
  } finally {
    progress.clear()
  }
  print(io, `${collection.name}: ${describe(counts, collection, progress.linesPerSecond())}${afterDryRun(settings)}\n`)
  return counts
}

/** What to add to the sentence that says what was done. */
export function afterDryRun ({ dryRun }: ImportSettings): string {
  return dryRun ? '; a dry run, nothing was written' : ''
}

function isBlank (line: Line): boolean {
  return typeof line === 'string' && line.trim() === ''
}

/** Whether lines arrive before the write lock would be held for nothing. */
async function isReady (lines: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController()
  try {
    return await Promise.race([lines.then(() => true), pause(longestWait, false, { signal: timer.signal })])
  } finally {
    timer.abort()
  }
}

function describe (counts: Counts, { wanted }: Collection, linesPerSecond: number): string {
  const figures = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  const isAllIgnored = counts.ignored > 0 && counts.new + counts.updated === 0
  return `${figures} (${linesPerSecond} lines/s)${isAllIgnored ? `; no ${String(wanted)} among ${counts.ignored}` : ''}`
}

/**
 * While contacts go into an empty database, their indexes are taken away: sorting once in the end is much faster than
 * inserting all over. Returns what puts each of them back; a rollback does too.
 */
function deferIndexes (database: Database.Database): Array<() => void> {
  const indexes = database.prepare<[], { name: string, sql: string }>(`
    SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'omnichannel\\_contact\\_%' ESCAPE '\\'
      AND NOT EXISTS (SELECT 1 FROM omnichannel_contact)`).all()
  for (const { name } of indexes) database.exec(`DROP INDEX "${name}"`)
  return indexes.map(({ sql }) => () => { database.exec(sql) })
}

/**
 * Returns what is awaited between two transactions. It leaves the write lock free for long enough to be found free; not
 * after every one of many small transactions, which would take hours.
 */
function yieldWriteLock (signal: AbortSignal): () => Promise<void> {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < longestHold) return
    await pause(gap, undefined, { signal })
    since = performance.now()
  }
}

/** Rejects when a signal has arrived meanwhile. Signals are looked for between two turns, so one alone may not see it. */
async function lookForSignals (signal: AbortSignal): Promise<void> {
  await nextTurn()
  await nextTurn(undefined, { signal })
}
