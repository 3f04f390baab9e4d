import type { Command } from '@commander-js/extra-typings'
import type { SqliteDatabase } from 'kysely'
import { hash } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import { readFileName, withDatabase } from './database.js'
import { CommandError } from './errors.js'
import { createProgress, print } from './output.js'
import { readServer, withServer } from './postgres.js'
import { withInterruption, type FileHandle, type Io } from './shared.js'

export function copy (program: Command, io: Io): void {
  program.command('copy')
    .summary('Move a database file to a PostgreSQL server')
    .description('Copy everything in a database file to a PostgreSQL server.\n\n' +
      'It is one transaction: all is copied or nothing. At the end both sides are compared. A server that holds the same data already ' +
      'stays as it is. A server that holds other data is refused. Rows that are written to the file meanwhile are not copied, so stop ' +
      'the file\'s server first.')
    .argument('<FILE>', 'the database file', readFileName)
    .argument('<SERVER>', 'as postgres://user@host/name', readServer)
    .action((file, server) => withDatabase(file, io, 'read', ({ handle: source }) =>
      withInterruption(io, (signal) => withServer(server, 'create', async ({ name, handle: target }) => {
        const start = performance.now()
        const { rows, wasEmpty } = await copyTables(source as FileHandle, target as Pool, name, io, signal)
        print(io, wasEmpty
          ? `Copied ${file} to ${name}: ${rows} rows in ${((performance.now() - start) / 1000).toFixed(1)} s, compared row by row\n`
          : `${name} holds the ${rows} rows of ${file} already, compared row by row\n`)
      }).catch((error: unknown) => {
        throw signal.aborted ? new CommandError('Stopped: nothing was copied') : error
      }))))
}

const maxBatchRows = 1000
/** In characters. A row can have megabytes of custom fields. */
const maxBatchLength = 16_000_000
/** Fewer than `maxBatchRows`, because a FETCH has no limit for the length of its rows. */
const rowsPerFetch = 100

type CopiedTable = Awaited<ReturnType<typeof describeTables>>[number]

/** The tables to copy, with the SQL that reads and writes them. The record of migrations is not copied. */
async function describeTables () {
  const [{ postgres }, { toParameter }] = await Promise.all([import('../store/migrations/generated.js'), import('../store/postgres/codec.js')])
  return Object.entries(postgres.tables).filter(([name]) => name !== 'omnichannel_migration').map(([name, allColumns]) => {
    // Custom fields have an order: the rowid in the file, and a position on the server, which INSERT assigns.
    const isOrdered = name === 'omnichannel_custom_field'
    const columns = Object.entries(allColumns).filter(([column]) => !isOrdered || column !== 'position')
    const names = columns.map(([column]) => column).join(', ')
    // Each column is one parameter, an array of texts.
    const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ')
    const casts = columns.map(([column, type]) => `batch.${column}::${type}`).join(', ')
    return {
      name,
      selectFromFile: `SELECT ${names} FROM ${name}${isOrdered ? ' ORDER BY rowid' : ''}`,
      declareServerCursor: `DECLARE copied NO SCROLL CURSOR FOR SELECT ${names} FROM ${name}`,
      insert: (rows: unknown[][]) => ({
        name: `copy_${name}`,
        text: `INSERT INTO ${name} (${names}) SELECT ${casts} FROM unnest(${arrays}) WITH ORDINALITY AS batch (${names}, ordinal) ORDER BY ordinal`,
        values: columns.map((_, index) => toParameter(rows.map((row) => row[index] as string | number | null)))
      })
    }
  })
}

/** Returns how many rows the file has. `wasEmpty` is false if the server held the same rows already. */
async function copyTables (source: FileHandle, pool: Pool, name: string, io: Io, signal: AbortSignal) {
  const [tables, { toKyselyDatabase }, { disableTimeouts }] = await Promise.all([
    describeTables(), import('./open-node-sqlite.js'), import('../store/postgres/statements.js')
  ])
  const file = toKyselyDatabase(source)
  const progress = createProgress(io, name, { unit: 'rows' })
  const client = await pool.connect()
  source.exec('BEGIN')
  try {
    // The lock keeps other writers out.
    await client.query(`BEGIN; SELECT ${disableTimeouts}; LOCK TABLE ${tables.map((table) => table.name).join(', ')} IN SHARE ROW EXCLUSIVE MODE`)
    // The table of permissions is never empty, because the migration has inserted the defaults.
    const mustBeEmpty = tables.filter((table) => table.name !== 'omnichannel_role_permission')
    const found = await client.query(mustBeEmpty.map((table) => `(SELECT FROM ${table.name} LIMIT 1)`).join(' UNION ALL '))
    const wasEmpty = found.rowCount === 0
    if (wasEmpty) await client.query('DELETE FROM omnichannel_role_permission')
    let rows = 0
    for (const table of tables) {
      let fileChecksum = 0n
      let serverChecksum = 0n
      for (const batch of batchesOfFile(file, table)) {
        signal.throwIfAborted()
        if (wasEmpty) await client.query(table.insert(batch))
        fileChecksum += checksum(batch)
        rows += batch.length
        progress.advance(batch.length)
      }
      for await (const batch of batchesOfServer(client, table)) {
        signal.throwIfAborted()
        serverChecksum += checksum(batch)
      }
      if (fileChecksum !== serverChecksum) {
        throw new CommandError(wasEmpty
          ? `${name} stored other rows in ${table.name} than it was sent; nothing was copied`
          : `${name} holds other data in ${table.name}; nothing was copied`)
      }
    }
    await client.query('COMMIT')
    return { rows, wasEmpty }
  } finally {
    progress.clear()
    // After COMMIT this does nothing.
    await Promise.allSettled([client.query('ROLLBACK')])
    client.release()
    source.exec('ROLLBACK')
  }
}

function * batchesOfFile (source: SqliteDatabase, { selectFromFile }: CopiedTable): Generator<unknown[][]> {
  let batch: unknown[][] = []
  let length = 0
  for (const row of source.prepare(selectFromFile).iterate([]) as Iterable<object>) {
    const values: unknown[] = Object.values(row)
    batch.push(values)
    for (const value of values) if (typeof value === 'string') length += value.length
    if (batch.length < maxBatchRows && length < maxBatchLength) continue
    yield batch
    batch = []
    length = 0
  }
  if (batch.length > 0) yield batch
}

async function * batchesOfServer (client: PoolClient, { declareServerCursor }: CopiedTable): AsyncGenerator<unknown[][]> {
  await client.query(declareServerCursor)
  for (;;) {
    const { rows } = await client.query<unknown[]>({ text: `FETCH ${rowsPerFetch} FROM copied`, rowMode: 'array' })
    if (rows.length === 0) break
    yield rows
  }
  await client.query('CLOSE copied')
}

/** The sum of a hash of each row, which does not depend on the order of the rows. */
function checksum (rows: unknown[][]): bigint {
  return rows.reduce((sum, row) => sum + BigInt(`0x${hash('md5', JSON.stringify(row), 'hex')}`), 0n)
}
