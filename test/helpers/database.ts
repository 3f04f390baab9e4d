// One interface for all engines, through which tests look at rows. Use SQL that SQLite and PostgreSQL both read: `$1` for a value, TRUE
// and FALSE, ON CONFLICT DO NOTHING. Every engine returns rows as SQLite does: a boolean is 0 or 1, a time is a text in ISO 8601.

import type { OmnichannelContactsOptions } from '../../src/index.js'

export type Value = string | number | boolean | null
export type Row = Record<string, unknown>

export interface Db {
  rows: <Result = Row>(sql: string, ...values: Value[]) => Promise<Result[]>
  row: <Result = Row>(sql: string, ...values: Value[]) => Promise<Result | undefined>
  /** The first column of each row. */
  column: <Result = unknown>(sql: string, ...values: Value[]) => Promise<Result[]>
  /** The first column of the first row. */
  value: <Result = unknown>(sql: string, ...values: Value[]) => Promise<Result | undefined>
  /** Runs several statements, or one with values. */
  exec: (sql: string, ...values: Value[]) => Promise<void>
  /** Adds a trigger that refuses updates of a table: all of them, or those for which the condition `when` is true. */
  refuseUpdates: (table: string, message?: string, when?: string) => Promise<void>
  /** Drops the trigger of `refuseUpdates`. */
  allowUpdates: (table: string) => Promise<void>
  /** The names of the tables, sorted. */
  tables: () => Promise<string[]>
  /** The column that numbers custom fields in the order of their insertion. */
  insertionOrder: string
}

/** A database that a test has opened. */
export interface Opened {
  db: Db
  database: OmnichannelContactsOptions['database']
  /** Transactions that are still open, and changed settings. Empty if there are none. */
  leftovers: () => Promise<object>
  close: () => Promise<void>
}

/** What differs between the engines. */
interface Driver {
  /** Runs one statement. */
  query: (sql: string, values: Value[]) => Promise<Row[]>
  exec: (sql: string) => Promise<void>
  insertionOrder: string
  listTables: string
  createTrigger: (table: string, message: string, when: string | undefined) => string
  dropTrigger: (table: string) => string
}

export function createDb ({ query, exec, insertionOrder, listTables, createTrigger, dropTrigger }: Driver): Db {
  const rows = async <Result>(sql: string, ...values: Value[]): Promise<Result[]> => await query(sql, values) as Result[]
  const column = async <Result>(sql: string, ...values: Value[]): Promise<Result[]> =>
    (await query(sql, values)).map((row) => Object.values(row)[0] as Result)
  return {
    rows,
    row: async <Result>(sql: string, ...values: Value[]) => (await rows<Result>(sql, ...values))[0],
    column,
    value: async <Result>(sql: string, ...values: Value[]) => (await column<Result>(sql, ...values))[0],
    exec: async (sql, ...values) => { await (values.length === 0 ? exec(sql) : query(sql, values)) },
    refuseUpdates: async (table, message = 'no', when) => { await exec(createTrigger(table, message, when)) },
    allowUpdates: async (table) => { await exec(dropTrigger(table)) },
    tables: async () => await column<string>(listTables),
    insertionOrder
  }
}
