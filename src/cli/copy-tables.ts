// All tables from a file to a server, in one transaction of each.

import type Database from 'better-sqlite3'
import { hash } from 'node:crypto'
import type { Pool, PoolClient, QueryConfig } from 'pg'
import { postgres } from '../store/migrations/generated.js'
import { parserOf, toParameter } from '../store/postgres/codec.js'
import type { Io } from './command.js'
import { CommandError } from './errors.js'
import { createProgress, type Progress } from './output.js'

const batch = 1000

interface CopiedTable {
  name: string
  /** The rows of the file, in the order of their insertion where that matters. */
  read: string
  /** The same rows of the server, as SQLite gives them. */
  readBack: string
  types: { getTypeParser: typeof parserOf }
  insert: (rows: unknown[][]) => QueryConfig
}

// Every table but the record of its versions.
const schema = Object.entries(postgres.tables).filter(([name]) => name !== 'omnichannel_migration')

const tables: CopiedTable[] = schema.map(([name, columns]) => {
  // The order of insertion is rowid in the file, and counted anew here.
  const isOrdered = name === 'omnichannel_custom_field'
  const copied = Object.entries(columns).filter(([column]) => !isOrdered || column !== 'position')
  const names = copied.map(([column]) => column)
  const lists = names.map((_, index) => `$${index + 1}::text[]`)
  const values = copied.map(([column, type]) => `copied.${column}::${type}`)
  const text = `INSERT INTO ${name} (${names.join(', ')}) SELECT ${values.join(', ')} ` +
    `FROM unnest(${lists.join(', ')}) WITH ORDINALITY AS copied (${names.join(', ')}, nth) ORDER BY nth`
  const readable = copied.map(([column, type]) =>
    type === 'timestamptz' ? `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')` : column)
  return {
    name,
    read: `SELECT ${names.join(', ')} FROM ${name}${isOrdered ? ' ORDER BY rowid' : ''}`,
    readBack: `SELECT ${readable.join(', ')} FROM ${name}`,
    types: { getTypeParser: parserOf },
    insert: (rows) => ({ name: `copy_${name}`, text, values: names.map((_, index) => toParameter(rows.map((row) => row[index] as string | number | null))) })
  }
})

interface Settings {
  /** The server, as messages name it. */
  name: string
  io: Io
  signal: AbortSignal
}

interface Copied {
  rows: number
  seconds: number
  /** False where the server held the same already. */
  isNew: boolean
}

/** @throws {CommandError} when the server holds other data, or something else than was sent to it */
export async function copyTables (source: Database.Database, pool: Pool, { name, io, signal }: Settings): Promise<Copied> {
  const start = performance.now()
  const progress = createProgress(io.stderr, name, undefined, undefined, 'rows')
  const client = await pool.connect()
  source.exec('BEGIN')
  try {
    const copied = await copyAll(source, client, { name, progress, signal })
    return { ...copied, seconds: (performance.now() - start) / 1000 }
  } finally {
    progress.clear()
    client.release()
    source.exec('ROLLBACK')
  }
}

interface Copying {
  /** The server, as messages name it. */
  name: string
  progress: Progress
  signal: AbortSignal
}

async function copyAll (source: Database.Database, client: PoolClient, copying: Copying): Promise<Omit<Copied, 'seconds'>> {
  const { name, signal } = copying
  try {
    // Whoever writes there meanwhile waits.
    await client.query(`BEGIN; LOCK TABLE ${tables.map((table) => table.name).join(', ')} IN SHARE ROW EXCLUSIVE MODE`)
    const isNew = await isEmpty(client)
    // The defaults that the schema came with.
    if (isNew) await client.query('DELETE FROM omnichannel_role_permission')
    let rows = 0
    for (const table of tables) {
      const sent = await copyTable(source, client, table, { ...copying, isNew })
      const held = await checksumOf(client, table, signal)
      if (!sent.equals(held)) {
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
  }
}

async function isEmpty (client: PoolClient): Promise<boolean> {
  for (const { name } of tables.filter((table) => table.name !== 'omnichannel_role_permission')) {
    if ((await client.query(`SELECT FROM ${name} LIMIT 1`)).rows.length > 0) return false
  }
  return true
}

/** Sends the rows, or only adds them up. */
async function copyTable (
  source: Database.Database, client: PoolClient, table: CopiedTable, { isNew, progress, signal }: Copying & { isNew: boolean }
): Promise<Checksum> {
  const sum = createChecksum()
  let rows: unknown[][] = []
  const send = async (): Promise<void> => {
    signal.throwIfAborted()
    if (isNew && rows.length > 0) await client.query(table.insert(rows))
    progress.advance(rows.length, 0)
    rows = []
  }
  for (const row of source.prepare(table.read).raw().iterate() as IterableIterator<unknown[]>) {
    sum.add(row)
    rows.push(row)
    if (rows.length === batch) await send()
  }
  await send()
  return sum
}

async function checksumOf (client: PoolClient, table: CopiedTable, signal: AbortSignal): Promise<Checksum> {
  const sum = createChecksum()
  await client.query(`DECLARE copied NO SCROLL CURSOR FOR ${table.readBack}`)
  for (let rows: unknown[][] = [[]]; rows.length > 0;) {
    signal.throwIfAborted()
    rows = (await client.query({ text: `FETCH ${batch} FROM copied`, rowMode: 'array', types: table.types })).rows as unknown[][]
    for (const row of rows) sum.add(row)
  }
  await client.query('CLOSE copied')
  return sum
}

/** The rows of a table, added up: the same for the same rows in any order. */
interface Checksum {
  rows: number
  add: (row: unknown[]) => void
  equals: (other: Checksum) => boolean
  /** Modulo 2^64. */
  value: () => bigint
}

function createChecksum (): Checksum {
  let value = 0n
  const sum: Checksum = {
    rows: 0,
    add: (row) => {
      sum.rows++
      value = BigInt.asUintN(64, value + BigInt(`0x${hash('md5', JSON.stringify(row), 'hex').slice(0, 16)}`))
    },
    equals: (other) => sum.rows === other.rows && value === other.value(),
    value: () => value
  }
  return sum
}
