import Database from 'better-sqlite3'
import { closeSync, constants, copyFileSync, existsSync, fsyncSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { roomsOfContact } from './form.js'
import { createTables, rows } from './rows.js'

let copies = 0

/** Copies a file of so many contacts, numbered from 0, and returns its path. */
export async function createFile (folder: string, contacts: number): Promise<string> {
  const template = join(folder, `${contacts}.db`)
  const file = join(folder, `copy-${copies++}.db`)
  if (!existsSync(template)) await fill(template, contacts)
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
    CREATE TEMP VIEW items AS SELECT value AS item FROM json_each('${JSON.stringify([...Array(roomsOfContact).keys()])}');
    CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY, digits TEXT NOT NULL);
    INSERT INTO numbers WITH RECURSIVE next (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM next WHERE n + 1 < ${contacts})
      SELECT n, printf('%07d', n) FROM next;
    ${rows}
    COMMIT`)
  database.pragma('journal_mode = WAL')
  database.close()
  flush(file)
}

/** So that nothing is measured while the disk still writes this file. */
function flush (file: string): void {
  const descriptor = openSync(file, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

/** How many updates a file has seen. Throws if one was written by half. */
export function countUpdatesOfFile (file: string, contacts: number): number {
  const database = new Database(file, { readonly: true })
  const count = (sql: string): number => database.prepare<[], number>(sql).pluck().get() ?? 0
  const differs = (table: string, key: string, owner: string, column: string): number => count(`
    SELECT count(*) FROM omnichannel_contact AS contact CROSS JOIN omnichannel_${table} AS copy ON copy.${owner} = '${key}' || substr(contact.id, 2)
    WHERE contact.version > 1 AND copy.${column} <> contact.name`)
  const torn = differs('room', 'c', 'contact_id', 'fname') + differs('inquiry', 'v', 'visitor_id', 'name') +
    differs('subscription', 'v', 'visitor_id', 'name') + differs('subscription', 'v', 'visitor_id', 'fname')
  const updates = count('SELECT sum(version) FROM omnichannel_contact') - contacts
  database.close()
  if (torn > 0) throw new Error(`${file}: ${torn} rows do not carry the name of their contact`)
  return updates
}
