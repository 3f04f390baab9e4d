// Which files are to be imported: those of the options, and those of a folder by Rocket.Chat's names.

import { constants } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError } from '../errors.js'
import type { Collection } from './collection.js'

export interface ExportFile {
  collection: Collection
  /** - for stdin */
  file: string
  /** Where it is known beforehand. */
  bytes?: number
}

/** @throws {CommandError} when it cannot be read */
export async function findFile (collection: Collection, file: string): Promise<ExportFile> {
  if (file === '-') return { collection, file }
  try {
    const stats = await stat(file)
    if (stats.isDirectory()) throw new CommandError('it is a folder')
    await access(file, constants.R_OK)
    // A pipe has no size.
    return { collection, file, ...stats.isFile() && { bytes: stats.size } }
  } catch (error) {
    throw new CommandError(`The file ${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

const endings = ['.json', '.jsonl']

/**
 * The path of each collection in a folder that mongoexport has written to, undefined where there is none.
 *
 * @throws {CommandError} when there is no such folder, or none of the files in it, or two for one collection
 */
export async function findInFolder (folder: string, collections: Collection[]): Promise<Map<Collection, string | undefined>> {
  const names = await list(folder)
  const found = new Map(collections.map((collection) => {
    const files = endings.map((ending) => `${collection.source}${ending}`).filter((file) => names.includes(file))
    if (files.length > 1) throw new CommandError(`The folder ${folder} holds both ${files.join(' and ')}: which one is it?`)
    return [collection, files.map((file) => join(folder, file))[0]]
  }))
  if ([...found.values()].every((file) => file === undefined)) {
    throw new CommandError(`The folder ${folder} holds no file of an export, such as users.json or rocketchat_livechat_contact.json`)
  }
  return found
}

async function list (folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    throw new CommandError(`The folder ${folder} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}
