// One file into the database, in one transaction unless batches are asked for. The file is read as a stream and the
// transaction stays open meanwhile: nobody else uses this handle.

import type Database from 'better-sqlite3'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'
import type { Collection, Outcome } from './collection.js'
import { deferIndexes } from './defer-indexes.js'
import { BadLineError, object, type Document } from './extended-json.js'
import { readLines } from './lines.js'
import { createProgress } from './progress.js'

export interface ImportSettings {
  skipsBadLines: boolean
  /** Lines in a transaction; Infinity for the whole file. */
  batch: number
  dryRun: boolean
}

type Counts = Record<Outcome | 'skipped', number>

/** @throws {CommandError} */
export async function importFile (
  database: Database.Database, collection: Collection, file: string, settings: ImportSettings, io: Io
): Promise<void> {
  const { input, bytes } = await openFile(file, io)
  const progress = createProgress(io.stderr, collection.name, bytes)
  const counts: Counts = { new: 0, updated: 0, ignored: 0, skipped: 0 }
  let number = 0
  let committed = 0

  database.exec('BEGIN IMMEDIATE')
  try {
    const restoreIndexes = settings.batch === Infinity ? deferIndexes(database) : undefined
    const store = collection.prepare(database)
    for await (const { lines, bytes } of readLines(input)) {
      for (const line of lines) {
        number++
        if (line.trim() === '') continue
        try {
          counts[store(readDocument(line))]++
        } catch (error) {
          if (!(error instanceof BadLineError)) throw error
          if (!settings.skipsBadLines) throw error
          counts.skipped++
          progress.clear()
          io.stderr.write(`${file}, line ${number}: ${error.message} (skipped)\n`)
        }
        if (number - committed >= settings.batch) {
          database.exec('COMMIT; BEGIN IMMEDIATE')
          committed = number
        }
      }
      progress.advance(lines.length, bytes)
    }
    restoreIndexes?.()
    database.exec(settings.dryRun ? 'ROLLBACK' : 'COMMIT')
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK')
    const kept = committed === 0 ? 'nothing of this file was imported' : `the first ${committed} lines were imported`
    throw new CommandError(`${file}, line ${number}: ${(error as Error).message}; ${kept}`, { cause: error })
  } finally {
    progress.clear()
  }
  io.stdout.write(`${collection.name}: ${Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`).join(', ')} ` +
    `(${progress.linesPerSecond()} lines/s)${settings.dryRun ? '; a dry run, nothing was written' : ''}\n`)
}

async function openFile (file: string, io: Io): Promise<{ input: AsyncIterable<Uint8Array>, bytes?: number }> {
  if (file === '-') return { input: io.stdin }
  try {
    const stats = await stat(file)
    if (stats.isDirectory()) throw new CommandError('it is a folder')
    return { input: createReadStream(file, { highWaterMark: 256 * 1024 }), bytes: stats.size }
  } catch (error) {
    throw new CommandError(`The file ${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

function readDocument (line: string): Document {
  if (line.startsWith('[')) throw new BadLineError('this is a JSON array and not JSON lines: export without --jsonArray')
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new BadLineError('this is not JSON')
  }
  return object(value, 'the line')
}
