// When the commands use node:sqlite, and the codes of its errors, which are those of better-sqlite3.

import { join } from 'node:path'
import t from 'tap'
import { codeOf } from '../../src/cli/errors.js'
import { loadNodeSqlite } from '../../src/cli/open-node-sqlite.js'
import { DatabaseSync, skip } from '../helpers/node-sqlite.js'

t.test('no node:sqlite, or one that cuts texts at U+0000: not used', async (t) => {
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
  database.exec(`CREATE TABLE a (b TEXT UNIQUE); INSERT INTO a VALUES ('c');
    CREATE TRIGGER d BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'no'); END`)
  const codes: Record<string, () => unknown> = {
    SQLITE_ERROR: () => database.prepare('SELEC 1'),
    SQLITE_CONSTRAINT: () => database.prepare('INSERT INTO a VALUES (?)').run('c'),
    SQLITE_CONSTRAINT_TRIGGER: () => { database.exec('DELETE FROM a') },
    SQLITE_BUSY: () => {
      database.exec('BEGIN IMMEDIATE')
      other.exec('BEGIN IMMEDIATE')
    },
    ERR_INVALID_ARG_TYPE: () => database.prepare('SELECT ?').get(Symbol('e')),
    SQLITE_CANTOPEN: () => new DatabaseSync(t.testdirName)
  }
  for (const [code, work] of Object.entries(codes)) {
    try {
      work()
      t.fail(code)
    } catch (error) {
      t.equal(codeOf(error), code)
    }
  }
})

t.test('the number of an error: the code with that number, or the one that it extends', async (t) => {
  for (const [errcode, code] of [[5, 'SQLITE_BUSY'], [517, 'SQLITE_BUSY'], [2067, 'SQLITE_CONSTRAINT'], [1811, 'SQLITE_CONSTRAINT_TRIGGER'], [1, 'SQLITE_ERROR']]) {
    t.equal(codeOf({ errcode, code: 'ERR_SQLITE_ERROR' }), code)
  }
})
