// Opens files with the same SQLite library as the commands. Two libraries in one process do not see each other's locks.

import Database from 'better-sqlite3'
import { filesOf } from '../helpers/files.js'
import { openNodeSqlite } from '../helpers/node-sqlite.js'

const open = openNodeSqlite ?? ((file: string, options: Database.Options) => new Database(file, options))

export function openDatabase (file: string, options: Database.Options = {}): Database.Database {
  return open(file, { timeout: 5000, ...options })
}

export const { openFile, lookInto, inFile } = filesOf(openDatabase)
