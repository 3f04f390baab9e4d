// Copies all tables from a file to a server, in one transaction of each.

import type Database from 'better-sqlite3'
import { hash } from 'node:crypto'
import type { Pool, PoolClient, QueryConfig } from 'pg'
import { postgres } from '../store/migrations/generated.js'
import { parserOf, toParameter } from '../store/postgres/codec.js'
import type { Io } from './command.js'
import { CommandError } from './errors.js'
import { createProgress } from './output.js'

const batchRows = 1000

interface CopiedTable {
  name: string
  /** Reads the rows of the file. */
  read: string
  /** Reads the rows of the server as SQLite would give them. */
  readBack: string
  insert: (rows: unknown[][]) => QueryConfig
}

/** All but the record of migrations. */
const tables = Object.entries(postgres.tables).filter(([name]) => name !== 'omnichannel_migration').map(describeTable)

function describeTable ([name, allColumns]: [name: string, columns: Record<string, string>]): CopiedTable {
  // Custom fields have an order: the rowid in the file, and a position on the server, which INSERT assigns.
  const isOrdered = name === 'omnichannel_custom_field'
  const columns = Object.entries(allColumns).filter(([column]) => !isOrdered || column !== 'position')
  const names = columns.map(([column]) => column).join(', ')
  const parameters = columns.map((_, index) => `$${index + 1}::text[]`).join(', ')
  const values = columns.map(([column, type]) => `copied.${column}::${type}`).join(', ')
  const readable = columns.map(([column, type]) =>
    type === 'timestamptz' ? `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')` : column)
  return {
    name,
    read: `SELECT ${names} FROM ${name}${isOrdered ? ' ORDER BY rowid' : ''}`,
    readBack: `SELECT ${readable.join(', ')} FROM ${name}`,
    insert: (rows) => ({
      name: `copy_${name}`,
      text: `INSERT INTO ${name} (${names}) SELECT ${values} FROM unnest(${parameters}) WITH ORDINALITY AS copied (${names}, nth) ORDER BY nth`,
      values: columns.map((_, index) => toParameter(rows.map((row) => row[index] as string | number | null)))
    })
  }
}

interface Settings {
  /** The server, as messages show it. */
  name: string
  io: Io
  signal: AbortSignal
}

interface Copied {
  rows: number
  /** False where the server already held the same. */
  isNew: boolean
}

/** @throws {CommandError} when the server holds other data, or stores something else than was sent */
export async function copyTables (source: Database.Database, pool: Pool, { name, io, signal }: Settings): Promise<Copied> {
  const progress = createProgress(io, name, { unit: 'rows' })
  const client = await pool.connect()
  source.exec('BEGIN')
  try {
    // Others who write to the server wait.
    await client.query(`BEGIN; LOCK TABLE ${tables.map((table) => table.name).join(', ')} IN SHARE ROW EXCLUSIVE MODE`)
    const isNew = await isEmpty(client)
    // These are the defaults of the schema.
    if (isNew) await client.query('DELETE FROM omnichannel_role_permission')
    let rows = 0
    for (const table of tables) {
      const sent = await sendTable(source, table, async (batch) => {
        signal.throwIfAborted()
        if (isNew) await client.query(table.insert(batch))
        progress.advance(batch.length, 0)
      })
      const stored = await readTable(client, table, signal)
      if (sent.rows !== stored.rows || sent.sum !== stored.sum) {
        throw new CommandError(isNew
          ? `${name} has made something else of ${table.name} than was sent to it; nothing was copied`
          : `${name} holds other data in ${table.name}; nothing was copied`)
      }
      rows += sent.rows
    }
    await client.query('COMMIT')
    return { rows, isNew }
  } catch (error) {
    await Promise.allSettled([client.query('ROLLBACK')])
    throw error
  } finally {
    progress.clear()
    client.release()
    source.exec('ROLLBACK')
  }
}

async function isEmpty (client: PoolClient): Promise<boolean> {
  for (const { name } of tables.filter((table) => table.name !== 'omnichannel_role_permission')) {
    if ((await client.query(`SELECT FROM ${name} LIMIT 1`)).rows.length > 0) return false
  }
  return true
}

async function sendTable (source: Database.Database, table: CopiedTable, send: (rows: unknown[][]) => Promise<void>): Promise<Checksum> {
  const checksum = new Checksum()
  let batch: unknown[][] = []
  for (const row of source.prepare(table.read).raw().iterate() as IterableIterator<unknown[]>) {
    checksum.add(row)
    batch.push(row)
    if (batch.length < batchRows) continue
    await send(batch)
    batch = []
  }
  if (batch.length > 0) await send(batch)
  return checksum
}

async function readTable (client: PoolClient, table: CopiedTable, signal: AbortSignal): Promise<Checksum> {
  const checksum = new Checksum()
  await client.query(`DECLARE copied NO SCROLL CURSOR FOR ${table.readBack}`)
  for (let rows: unknown[][] = [[]]; rows.length > 0;) {
    signal.throwIfAborted()
    const fetch = { text: `FETCH ${batchRows} FROM copied`, rowMode: 'array', types: { getTypeParser: parserOf } }
    rows = (await client.query(fetch)).rows as unknown[][]
    for (const row of rows) checksum.add(row)
  }
  await client.query('CLOSE copied')
  return checksum
}

/** The same for the same rows in any order. */
class Checksum {
  rows = 0
  sum = 0n

  add (row: unknown[]): void {
    this.rows++
    this.sum = BigInt.asUintN(64, this.sum + BigInt(`0x${hash('md5', JSON.stringify(row), 'hex').slice(0, 16)}`))
  }
}
