// All tables from a file to a server, in one transaction of each.

import type Database from 'better-sqlite3'
import type { Pool, PoolClient } from 'pg'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'
import { createProgress, type Progress } from '../import/progress.js'
import { createSum, type Sum } from './sum.js'
import { tables, type CopiedTable } from './tables.js'

const batch = 1000

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
      const held = await sumOf(client, table, signal)
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
): Promise<Sum> {
  const sum = createSum()
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

async function sumOf (client: PoolClient, table: CopiedTable, signal: AbortSignal): Promise<Sum> {
  const sum = createSum()
  await client.query(`DECLARE copied NO SCROLL CURSOR FOR ${table.readBack}`)
  for (let rows: unknown[][] = [[]]; rows.length > 0;) {
    signal.throwIfAborted()
    rows = (await client.query({ text: `FETCH ${batch} FROM copied`, rowMode: 'array', types: table.types })).rows as unknown[][]
    for (const row of rows) sum.add(row)
  }
  await client.query('CLOSE copied')
  return sum
}
