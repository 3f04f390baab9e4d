// Gives each test a schema of its own, on one PostgreSQL server.

import pg, { type PoolConfig } from 'pg'
import { setTimeout as pause } from 'node:timers/promises'
import tap from 'tap'
import { createDb, type Db, type Row } from './database.js'
import { startServer } from './postgres-server.js'

let started: Promise<string> | undefined

/** The folder of the server's socket. TEST_POSTGRES names a server for all tests. Without it, this file starts one. */
export async function postgresHost (): Promise<string> {
  return process.env.TEST_POSTGRES ?? await (started ??= start())
}

async function start (): Promise<string> {
  const { host, stop } = await startServer()
  tap.teardown(stop)
  return host
}

let schemas = 0

/** A client that cannot pipeline, as a host's own class may be. */
class Plain extends pg.Client {}
Object.assign(Plain, { Query: undefined })

export interface PoolSettings extends PoolConfig {
  /** False: the client cannot send several queries at once. */
  pipeline?: boolean
  /** Options of the server for its sessions, as `-c name=value`. */
  defaults?: string
}

export async function openSchema ({ defaults = '', ...config }: PoolSettings = {}) {
  const host = await postgresHost()
  const schema = `test_${process.pid}_${++schemas}`
  const { db, close } = await connect(host, schema)
  await db.exec(`CREATE SCHEMA ${schema}`)
  const settings = {
    host, user: 'postgres', options: `-c search_path=${schema} ${defaults}`, application_name: schema, pipeline: true, max: 5,
    ...config.pipeline === false && { Client: Plain }, ...config
  }
  const database = new pg.Pool(settings)
  return {
    db,
    database,
    /** For more pools on the same schema. */
    settings,
    /** For the command line. */
    url: `postgres://postgres:s3cret@/postgres?host=${host}&application_name=${schema}&options=${encodeURIComponent(`-c search_path=${schema}`)}`,
    leftovers: async () => {
      const find = async (): Promise<Row[]> => await db.rows(`SELECT pid, state, query FROM pg_stat_activity
        WHERE application_name = current_schema() AND state <> 'idle' AND pid <> pg_backend_pid()`)
      // The server needs some time to notice that a client is gone.
      for (let times = 0; times < 1000 && (await find()).length > 0; times++) await pause(10)
      return Object.fromEntries((await find()).map((row) => [row.pid, row]))
    },
    close: async () => {
      await database.end()
      await close()
    }
  }
}

const BOOL = 16
const TIMESTAMPTZ = 1184
/** int8, int2, int4, float8 and numeric. */
const NUMBERS = [20, 21, 23, 701, 1700]

function parserOf (type: number): (text: string) => unknown {
  if (type === BOOL) return (text) => text === 't' ? 1 : 0
  if (type === TIMESTAMPTZ) return (text) => new Date(text).toISOString()
  return NUMBERS.includes(type) ? Number : decodeText
}

// `text` cannot hold U+0000. The plugin stores it as ␀0, and a ␀ before a 0 or 1 as ␀1.

function encodeText (text: string): string {
  return text.replace(/\0|␀(?=[01])/g, (found) => found === '\0' ? '␀0' : '␀1')
}

function decodeText (text: string): string {
  return text.replace(/␀([01])/g, (_, digit) => digit === '0' ? '\0' : '␀')
}

/** A connection that only the test uses. */
async function connect (host: string, schema: string): Promise<{ db: Db, close: () => Promise<void> }> {
  const client = new pg.Client({ host, user: 'postgres', options: `-c search_path=${schema} -c timezone=UTC -c datestyle=ISO` })
  // Without a listener, the end of the server would end the process.
  client.on('error', () => undefined)
  await client.connect()
  const db = createDb({
    query: async (text, values) => {
      const encoded = values.map((value) => typeof value === 'string' ? encodeText(value) : value)
      return (await client.query({ text, values: encoded, types: { getTypeParser: parserOf } })).rows
    },
    exec: async (sql) => { await client.query(sql) },
    insertionOrder: 'position',
    listTables: 'SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1',
    createTrigger: (table, message, when) => `
      CREATE FUNCTION refuse_${table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '${message}'; END $$;
      CREATE TRIGGER refuse BEFORE UPDATE ON ${table} FOR EACH ROW ${when === undefined ? '' : `WHEN (${when})`} EXECUTE FUNCTION refuse_${table}()`,
    dropTrigger: (table) => `DROP FUNCTION refuse_${table} CASCADE`
  })
  return { db, close: async () => { await client.end() } }
}

/** Waits until `count` server processes of the plugin wait for a lock, in the schema of `db`. Returns the id of one. */
export async function backendThatWaits (db: Db, count = 1): Promise<number> {
  for (;;) {
    // Within a transaction, the server repeats what it has shown first.
    await db.value('SELECT pg_stat_clear_snapshot()')
    const pids = await db.column<number>("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = current_schema()")
    if (pids[0] !== undefined && pids.length >= count) return pids[0]
    await pause(5)
  }
}

/** Our tables, constraints, indexes, triggers and functions in the schema, as the server describes them. */
export async function schemaOf (db: Db): Promise<unknown[]> {
  const schema = (await db.value<string>('SELECT current_schema()'))!
  const ours = "current_schema()::regnamespace AND relname LIKE 'omnichannel_%'"
  const queries = [
    `SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid)
      FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE relnamespace = ${ours} AND attnum > 0 ORDER BY relname, attnum`,
    `SELECT conname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid
      WHERE relnamespace = ${ours} ORDER BY 1, 2`,
    `SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON indrelid = pg_class.oid WHERE relnamespace = ${ours} ORDER BY 1`,
    `SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid WHERE relnamespace = ${ours} AND NOT tgisinternal ORDER BY 1`,
    'SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1'
  ]
  const rows = []
  for (const sql of queries) rows.push(...await db.rows(sql))
  return JSON.parse(JSON.stringify(rows).replaceAll(schema, 'schema')) as unknown[]
}
