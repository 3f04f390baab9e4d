// When the commands use node:sqlite, and the codes of its errors, which are those of better-sqlite3.

import { join } from 'node:path'
import t from 'tap'
import { codeOf } from '../../src/cli/errors.js'
import { loadNodeSqlite } from '../../src/cli/open-node-sqlite.js'
import { DatabaseSync, skip } from '../helpers/node-sqlite.js'

t.test('no node:sqlite, or one that cuts texts at U+0000: not used', async (t) => {
  let isClosed = false
  /** A node:sqlite that reads 'a\0b' as 'a'. */
  class DatabaseSync {
    isOpen = true
    isTransaction = false
    exec (): void { /* not called */ }
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

t.test('a node:sqlite that warns when it is loaded: no warning', async (t) => {
  const warnings = t.capture(process, 'emitWarning')
  t.capture(process, 'getBuiltinModule', () => { process.emitWarning('SQLite is an experimental feature') })
  loadNodeSqlite()
  t.strictSame(warnings(), [])
  process.emitWarning('another')
  t.equal(warnings().length, 1)
})

t.test('errors of node:sqlite: have the codes of better-sqlite3', { skip }, async (t) => {
  const file = join(t.testdir(), 'a.db')
  const [database, other] = [new DatabaseSync(file), new DatabaseSync(file)]
  t.teardown(() => { database.close(); other.close() })
  database.exec(`CREATE TABLE person (name TEXT UNIQUE); INSERT INTO person VALUES ('Maria');
    CREATE TRIGGER refuse BEFORE DELETE ON person BEGIN SELECT RAISE(ABORT, 'no'); END`)
  const mistakes: Record<string, () => unknown> = {
    SQLITE_ERROR: () => database.prepare('SELEC 1'),
    SQLITE_CONSTRAINT: () => database.prepare('INSERT INTO person VALUES (?)').run('Maria'),
    SQLITE_CONSTRAINT_TRIGGER: () => { database.exec('DELETE FROM person') },
    SQLITE_BUSY: () => {
      database.exec('BEGIN IMMEDIATE')
      other.exec('BEGIN IMMEDIATE')
    },
    ERR_INVALID_ARG_TYPE: () => database.prepare('SELECT ?').get(Symbol('e')),
    SQLITE_CANTOPEN: () => new DatabaseSync(t.testdirName)
  }
  for (const [code, makeMistake] of Object.entries(mistakes)) {
    try {
      makeMistake()
      t.fail(code)
    } catch (error) {
      t.equal(codeOf(error), code)
    }
  }
})

t.test('errors of node:sqlite with an extended result code: have the primary code, or that of a constraint trigger', async (t) => {
  // https://sqlite.org/rescode.html
  const codes = { 1: 'SQLITE_ERROR', 5: 'SQLITE_BUSY', 517: 'SQLITE_BUSY', 2067: 'SQLITE_CONSTRAINT', 1811: 'SQLITE_CONSTRAINT_TRIGGER' }
  for (const [errcode, code] of Object.entries(codes)) {
    t.equal(codeOf({ errcode: Number(errcode), code: 'ERR_SQLITE_ERROR' }), code)
  }
})
