// Brings a host's schema up to date. The versions have the same numbers as on SQLite. PostgreSQL has no version 1.

import { postgres as schema } from '../migrations/generated.js'
import { checkTables, pendingChanges, type FoundSchema, type Pending } from '../required-tables.js'
import { toParameter } from './codec.js'
import type { PostgresClient } from './handle.js'
import { serverTimeoutMs, answerTimeoutMs } from './pipeline.js'
import { command, disableTimeouts } from './statements.js'

/** A client, or a whole pool. */
type Queryable = Pick<PostgresClient, 'query'>

/** If several nodes start at once, one of them migrates and the others wait. The number is "omni" in ASCII. */
export const migrationLock = 'SELECT pg_advisory_xact_lock(1869442665);'

export async function bringUpToDate (client: Queryable, deadline: number): Promise<void> {
  const run = async (sql: string, until = deadline): Promise<unknown> =>
    await client.query({ ...command(sql), query_timeout: answerTimeoutMs(until) })
  if ((await findPending(client, deadline)).script === '') return
  await run('BEGIN ISOLATION LEVEL READ COMMITTED')
  try {
    await run(`SELECT set_config('lock_timeout', '${serverTimeoutMs(deadline)}', true), ${disableTimeouts}`)
    await run(migrationLock)
    const { script } = await findPending(client, deadline)
    // Only its locks have a deadline: an index on a large table takes minutes.
    await run(`${script}\nCOMMIT`, Infinity)
  } catch (error) {
    await Promise.allSettled([run('ROLLBACK')])
    throw error
  }
}

export async function findPending (client: Queryable, deadline = Infinity): Promise<Pending> {
  return pendingChanges(schema, await readSchema(client, deadline))
}

export async function checkSchema (client: Queryable, deadline: number): Promise<void> {
  checkTables(schema, await readSchema(client, deadline))
}

// Selects the kinds of `FoundSchema`. Types of category S, and domains over them, hold text, except `name`: it holds 63 bytes only.
const selectKinds = `
  WITH wanted AS (SELECT name, to_regclass(name) AS relation FROM unnest($1::text[]) AS wanted (name))
  SELECT name, CASE WHEN relkind IN ('r', 'p') THEN 'table' ELSE 'other' END FROM wanted JOIN pg_class ON pg_class.oid = relation
  UNION ALL
  SELECT name || '.' || attname, CASE WHEN typcategory = 'S' AND typname <> 'name' THEN 'text' ELSE format_type(atttypid, atttypmod) END
  FROM wanted JOIN pg_attribute ON attrelid = relation JOIN pg_type ON pg_type.oid = atttypid WHERE attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT tgname, 'trigger' FROM wanted JOIN pg_trigger ON tgrelid = relation`

/** Finds the tables by search_path. */
async function readSchema (client: Queryable, deadline: number): Promise<FoundSchema> {
  const select = async (sql: string, values: unknown[]): Promise<unknown[]> =>
    (await client.query({ ...command(sql, values), query_timeout: answerTimeoutMs(deadline) })).rows
  const names = schema.parts.flatMap(({ creates }) => creates ?? [])
  const kinds = new Map(await select(selectKinds, [toParameter(names)]) as Array<[string, string]>)
  if (!kinds.has('omnichannel_migration.id')) return { version: 0, kinds }
  const [row] = await select('SELECT coalesce(max(id), 0) FROM omnichannel_migration', [])
  return { version: (row as [number])[0], kinds }
}
