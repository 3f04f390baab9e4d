// A file that appears when it is complete, or not at all.

import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { CommandError } from '../errors.js'

interface Terms {
  /** The file that it is a copy of. */
  like: string
  overwrite: boolean
}

/**
 * Has `write` fill a new file beside `file`, and then gives it that name. Returns its size.
 *
 * @throws {CommandError}
 */
export async function intoPlace (file: string, terms: Terms, write: (unfinished: string) => Promise<void>): Promise<number> {
  const unfinished = `${resolve(file)}.${randomBytes(4).toString('hex')}.part`
  let isCreated = false
  try {
    refuse(file, terms)
    closeSync(openSync(unfinished, 'wx', statSync(terms.like).mode & 0o777))
    isCreated = true
    await write(unfinished)
    const { size } = statSync(unfinished)
    renameSync(unfinished, file)
    persist(file)
    return size
  } catch (error) {
    if (isCreated) for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(`${unfinished}${suffix}`, { force: true })
    if (error instanceof CommandError) throw error
    // What comes after the comma is the name that it has only while it is unfinished.
    const [reason = ''] = (error as Error).message.split(',')
    throw new CommandError(`The file ${file} cannot be written: ${reason}`, { cause: error })
  }
}

function refuse (file: string, { like, overwrite }: Terms): void {
  const there = statSync(file, { throwIfNoEntry: false })
  if (there === undefined) return
  const { dev, ino } = statSync(like)
  if (there.isDirectory()) throw new CommandError(`${file} is a folder: name a file in it`)
  if (there.dev === dev && there.ino === ino) throw new CommandError(`${file} is the database itself: name another file for the copy`)
  if (!overwrite) throw new CommandError(`${file} exists already: name another file, or replace it with --overwrite`)
  // It would be taken for a part of the copy.
  if (existsSync(`${file}-wal`)) throw new CommandError(`${file} is a database in use: name another file for the copy`)
}

/** SQLite has written what is in it; this writes the journal of the file system, where the new name stands. */
function persist (file: string): void {
  const descriptor = openSync(file, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}
