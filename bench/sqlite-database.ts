import Database from 'better-sqlite3'
import { closeSync, constants, copyFileSync, existsSync, fsyncSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { roomsPerContact } from './requests.js'
import { createTables, insertRowsSql } from './initial-rows.js'

let copies = 0

/** Creates a file with this number of contacts, as a copy of a file that is filled once. Returns its path. */
export async function createFile (folder: string, contacts: number): Promise<string> {
  const template = join(folder, `${contacts}.db`)
  const file = join(folder, `copy-${copies++}.db`)
  if (!existsSync(template)) await fill(template, contacts)
  // With this flag nothing is copied if the file system can share the data.
  copyFileSync(template, file, constants.COPYFILE_FICLONE)
  flush(file)
  return file
}

export function removeFile (file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
}

async function fill (file: string, contacts: number): Promise<void> {
  const database = new Database(file)
  for (const pragma of ['journal_mode = OFF', 'synchronous = OFF', 'foreign_keys = OFF', 'cache_size = -500000']) database.pragma(pragma)
  await createTables(database)
  database.exec(`
    BEGIN;
    CREATE TEMP VIEW items AS SELECT value AS item FROM json_each('${JSON.stringify([...Array(roomsPerContact).keys()])}');
    CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY, digits TEXT NOT NULL);
    INSERT INTO numbers WITH RECURSIVE next (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM next WHERE n + 1 < ${contacts})
      SELECT n, printf('%07d', n) FROM next;
    ${insertRowsSql}
    COMMIT`)
  database.pragma('journal_mode = WAL')
  database.close()
  flush(file)
}

/** Waits until the file is on the disk, so that the kernel does not write it during a measurement. */
function flush (file: string): void {
  const descriptor = openSync(file, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

/** The first row of a query. */
export function readRow (file: string, sql: string): unknown {
  const database = new Database(file, { readonly: true })
  const row = database.prepare(sql).get()
  database.close()
  return row
}
