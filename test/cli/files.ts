// Files as the commands open them. Two libraries of SQLite in one process do not see each other's locks.

import Database from 'better-sqlite3'
import { loadNodeSqlite } from '../../src/cli/node-sqlite.js'
import { filesOf } from '../files.js'

const open = loadNodeSqlite() ?? ((file: string, options: Database.Options) => new Database(file, options))

export function openDatabase (file: string, options: Database.Options = {}): Database.Database {
  return open(file, { timeout: 5000, ...options })
}

export const { openFile, lookInto, inFile } = filesOf(openDatabase)
