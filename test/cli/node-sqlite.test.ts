// Which library opens the file of a command, and errors of node:sqlite by the names that better-sqlite3 gives them.

import type Database from 'better-sqlite3'
import { join } from 'node:path'
import t from 'tap'
import { loadNodeSqlite } from '../../src/cli/node-sqlite.js'
import { skip } from '../node-sqlite.js'

t.test('a Node.js without node:sqlite, or with one that cuts texts at U+0000: it is not taken', async (t) => {
  let isClosed = false
  class DatabaseSync {
    isOpen = true
    isTransaction = false
    exec (): void { /* not asked */ }
    prepare (): object { return { setReadBigInts: () => undefined, setReturnArrays: () => undefined, get: () => ['a'] } }
    close (): void { isClosed = true }
  }
  for (const module of [undefined, { DatabaseSync }]) {
    const { restore } = t.capture(process, 'getBuiltinModule', () => module)
    t.equal(loadNodeSqlite(), undefined)
    restore()
  }
  t.equal(isClosed, true)
})

t.test('errors have the codes of better-sqlite3', { skip }, async (t) => {
  const open = loadNodeSqlite() as (file: string, options: Database.Options) => Database.Database
  const file = join(t.testdir(), 'a.db')
  const [database, other] = [open(file, {}), open(file, {})]
  t.teardown(() => { database.close(); other.close() })
  database.exec(`CREATE TABLE a (b TEXT UNIQUE); INSERT INTO a VALUES ('c');
    CREATE TRIGGER d BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'no'); END`)
  const codes: Record<string, () => unknown> = {
    SQLITE_ERROR: () => database.prepare('SELEC 1'),
    SQLITE_CONSTRAINT: () => database.prepare('INSERT INTO a VALUES (?)').run(['c']),
    SQLITE_CONSTRAINT_TRIGGER: () => { database.exec('DELETE FROM a') },
    SQLITE_BUSY: () => {
      database.exec('BEGIN IMMEDIATE')
      other.exec('BEGIN IMMEDIATE')
    },
    ERR_INVALID_ARG_TYPE: () => database.prepare('SELECT ?').get(Symbol('e')),
    SQLITE_CANTOPEN: () => open(t.testdirName, {})
  }
  for (const [code, work] of Object.entries(codes)) t.throws(work, { code })
  t.throws(() => open(join(file, 'none', 'a.db'), {}), { message: 'Cannot open database because the directory does not exist' })
})
