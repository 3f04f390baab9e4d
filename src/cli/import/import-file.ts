// One file into the database, in one transaction unless batches are asked for. The file is read as a stream and the
// transaction stays open meanwhile: nobody else uses this handle.

import type Database from 'better-sqlite3'
import { createReadStream } from 'node:fs'
import { addAbortSignal, type Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Io } from '../command.js'
import { CommandError, InterruptedError } from '../errors.js'
import type { Collection, Outcome } from './collection.js'
import { readLines, type Line } from './lines.js'
import { createProgress } from './progress.js'
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

type Counts = Record<Outcome | 'skipped', number>

/**
 * Imports a file and says what became of it.
 *
 * @throws {CommandError}
 */
export async function importFile (
  database: Database.Database, { collection, file, bytes }: ExportFile, settings: ImportSettings, io: Io, signal: AbortSignal
): Promise<void> {
  const input = addAbortSignal<Readable>(signal, file === '-' ? io.stdin : createReadStream(file, { highWaterMark: 256 * 1024 }))
  const progress = createProgress(io.stderr, collection.name, bytes)
  const letOthersIn = yieldWriteLock(signal)
  const counts: Counts = { new: 0, updated: 0, ignored: 0, skipped: 0 }
  let number = 0
  let committed = 0
  const skip = (reason: string): void => {
    progress.clear()
    io.stderr.write(`${file}, line ${number}: ${reason} (skipped)\n`)
  }

  try {
    database.exec('BEGIN IMMEDIATE')
    const restoreIndexes = settings.batch === Infinity ? deferIndexes(database) : []
    const store = prepareStore(database, collection, settings.skipsBadLines ? skip : undefined)
    for await (const { lines, bytes } of readLines(input)) {
      for (const line of lines) {
        number++
        if (isBlank(line)) continue
        counts[store(line)]++
        if (number - committed >= settings.batch) {
          database.exec('COMMIT')
          committed = number
          await letOthersIn()
          database.exec('BEGIN IMMEDIATE')
        }
      }
      progress.advance(lines.length, bytes)
    }
    for (const restoreIndex of restoreIndexes) {
      restoreIndex()
      await lookForSignals(signal)
    }
    database.exec(settings.dryRun ? 'ROLLBACK' : 'COMMIT')
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK')
    const where = number === 0 ? file : `${file}, line ${number}`
    const kept = committed === 0 ? 'nothing of this file was imported' : `the first ${committed} lines were imported`
    if (signal.aborted) throw new InterruptedError(`${where}: interrupted; ${kept}`, signal.reason as NodeJS.Signals)
    throw new CommandError(`${where}: ${(error as Error).message}; ${kept}`, { cause: error })
  } finally {
    progress.clear()
  }
  io.stdout.write(`${collection.name}: ${describe(counts, collection, progress.linesPerSecond())}` +
    `${settings.dryRun ? '; a dry run, nothing was written' : ''}\n`)
}

function isBlank (line: Line): boolean {
  return typeof line === 'string' && line.trim() === ''
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
