// Imports one file, in one transaction or in batches. The file is read as a stream while the transaction is open: nothing else uses
// this handle.

import { isUtf8 } from 'node:buffer'
import { addAbortSignal, type Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { commit, type Connection } from '../../store/sqlite/connection.js'
import { CommandError } from '../errors.js'
import { createProgress, print, report } from '../output.js'
import type { Io } from '../shared.js'
import type { CollectionName, Outcome } from './collection.js'
import { BadLineError, type Document } from './extended-json.js'
import { importedDocuments } from './store-document.js'
import { lineStore, type Line } from './store-line.js'

export interface ExportFile {
  name: CollectionName
  /** The path, or `-` for stdin. */
  file: string
  /** Its size. Undefined for a pipe. */
  bytes?: number
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

const maxLockMs = 50
/** A server that waits for the write lock tries every 16 ms, and its timer may be late. */
const unlockedMs = 25

type Counts = Record<Outcome | 'skipped', number>

export const dryRunNote = '; a dry run, nothing was written'

/** @param onStored is called for each document that was stored */
export async function importFile (
  database: Connection, { name, file, bytes }: ExportFile, input: Readable, options: ImportOptions,
  onStored: (document: Document) => void, io: Io, signal: AbortSignal
): Promise<Counts> {
  const { onError, dryRun = false } = options
  const { batch = Infinity } = dryRun ? {} : options
  const lines = readLines(addAbortSignal(signal, input))
  const progress = createProgress(io, name, { totalBytes: bytes })
  const counts: Counts = { new: 0, updated: 0, ignored: 0, skipped: 0 }
  let droppedIndexes: string[] = []
  let lineNumber = 0
  let committed = 0
  let lockedSince = performance.now()

  const reportLine = (sentence: string): void => {
    progress.clear()
    report(io, `${file}, line ${lineNumber}: ${sentence}`)
  }
  const store = lineStore(database, name, { skipsBadLines: onError === 'skip', onStored, report: reportLine })
  const commitLines = (): void => {
    if (database.inTransaction) commit(database)
    committed = lineNumber
  }

  try {
    // Moves earlier commits into the file. If this import then fills the disk, SQLite can remove the log, because it holds no commits.
    if (!dryRun) database.exec('PRAGMA wal_checkpoint(PASSIVE)')
    for (;;) {
      const next = lines.next()
      // Do not hold the write lock while the input has nothing ready.
      if (batch !== Infinity && !await Promise.race([next.then(() => true), pause(20, false, { ref: false })])) commitLines()
      const { value, done } = await next
      if (done === true) break
      for (const line of value.lines) {
        if (!database.inTransaction) {
          database.exec('BEGIN IMMEDIATE')
          if (batch === Infinity) droppedIndexes = dropIndexes(database)
        }
        lineNumber++
        if (typeof line === 'string' && line.trim() === '') continue
        counts[store(line)]++
        if (lineNumber - committed < batch) continue
        commitLines()
        // A pause after every small batch would take hours.
        if (performance.now() - lockedSince < maxLockMs) continue
        await pause(unlockedMs, undefined, { signal })
        lockedSince = performance.now()
      }
      progress.advance(value.lines.length, value.bytes)
    }
    for (const sql of droppedIndexes) {
      database.exec(sql)
      // Node.js looks for signals between two turns of the event loop, so one turn may miss one.
      await nextTurn()
      await nextTurn(undefined, { signal })
    }
    if (!dryRun) commitLines()
  } catch (error) {
    const where = lineNumber === 0 ? file : `${file}, line ${lineNumber}`
    const kept = committed === 0 ? 'nothing of this file was imported' : `the first ${committed} lines were imported`
    throw new CommandError(`${where}: ${signal.aborted ? 'interrupted' : (error as Error).message}; ${kept}`, { cause: error })
  } finally {
    if (database.inTransaction) database.exec('ROLLBACK')
    progress.clear()
  }
  const figures = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  const hint = counts.ignored > 0 && counts.new + counts.updated === 0 ? `; no ${String(importedDocuments[name])} among ${counts.ignored}` : ''
  print(io, `${name}: ${figures} (${progress.perSecond()} lines/s)${hint}${dryRun ? dryRunNote : ''}\n`)
  return counts
}

/**
 * Drops the indexes of contacts while the first contacts are imported: sorting once at the end is much faster than inserting in random
 * order. A UNIQUE index of the host's stays, because it refuses rows. Returns the SQL that creates the others again. A rollback restores
 * them too.
 */
function dropIndexes (database: Connection): string[] {
  const indexes = database.all(`
    SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql NOT LIKE 'CREATE UNIQUE %' AND tbl_name LIKE 'omnichannel\\_contact\\_%' ESCAPE '\\'
      AND NOT EXISTS (SELECT 1 FROM omnichannel_contact)`) as Array<[name: string, sql: string]>
  for (const [name] of indexes) database.exec(`DROP INDEX "${name}"`)
  return indexes.map(([, sql]) => sql)
}

/** Some lines, and how many bytes were read for them. */
export interface Lines {
  lines: Line[]
  bytes: number
}

/** In bytes: four times MongoDB's limit for a document, because type wrappers make it longer. */
export const longestLine = 64 * 1024 * 1024

const newline = 0x0A

/**
 * Splits a file into lines. split2 would silently drop a line that is too long, read bytes that are not UTF-8 as U+FFFD, and search a long
 * line again with every chunk (12 to 39 s for 60 MiB, 0.3 s here).
 */
export async function * readLines (input: AsyncIterable<Buffer>): AsyncGenerator<Lines, void> {
  // The line whose end has not arrived yet.
  let parts: Buffer[] = []
  let length = 0
  let bytes = 0

  for await (const chunk of input) {
    const lines: Line[] = []
    for (let [start, end] = [0, 0]; end !== -1; start = end + 1) {
      end = chunk.indexOf(newline, start)
      const part = chunk.subarray(start, end === -1 ? undefined : end)
      const wasTooLong = length > longestLine
      length += part.length
      if (length <= longestLine) parts.push(part)
      else parts = []
      // Reported at once: its end may be far away.
      if (length > longestLine && !wasTooLong) lines.push(new BadLineError(tooLong))
      if (end === -1) continue
      if (length <= longestLine) lines.push(decode(parts))
      parts = []
      length = 0
    }
    bytes += chunk.length
    if (lines.length === 0) continue
    yield { lines, bytes }
    bytes = 0
  }
  if (length > 0 && length <= longestLine) yield { lines: [decode(parts)], bytes }
}

const tooLong = `this is a line that is too long, of more than ${longestLine / 1024 / 1024} MiB: is it really JSON lines?`

function decode (parts: Buffer[]): Line {
  const bytes = Buffer.concat(parts)
  return isUtf8(bytes) ? bytes.toString() : new BadLineError('this is not UTF-8')
}
