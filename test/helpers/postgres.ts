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

/** A client that cannot send several queries at once, as a host's own class may be. */
class ClientWithoutPipeline extends pg.Client {}
Object.assign(ClientWithoutPipeline, { Query: undefined })

export interface PoolSettings extends PoolConfig {
  /** False: the pool has clients that cannot send several queries at once. */
  pipeline?: boolean
  /** The default settings of each session, as `-c name=value`. */
  defaults?: string
}

/** Creates a schema, and opens a pool for the plugin and a connection for the test on it. */
export async function openSchema ({ defaults = '', ...config }: PoolSettings = {}) {
  const host = await postgresHost()
  const schema = `test_${process.pid}_${++schemas}`
  const { db, close } = await connect(host, schema)
  await db.exec(`CREATE SCHEMA ${schema}`)
  const settings = {
    host, user: 'postgres', options: `-c search_path=${schema} ${defaults}`, application_name: schema, pipeline: true, max: 5,
    ...config.pipeline === false && { Client: ClientWithoutPipeline }, ...config
  }
  const database = new pg.Pool(settings)
  return {
    db,
    database,
    /** The settings of the pool, for more pools on the same schema. */
    settings,
    /** The schema as the command line takes it. */
    url: `postgres://postgres:s3cret@/postgres?host=${host}&application_name=${schema}&options=${encodeURIComponent(`-c search_path=${schema}`)}`,
    leftovers: async () => {
      const findBusy = async (): Promise<Row[]> => await db.rows(`SELECT pid, state, query FROM pg_stat_activity
        WHERE application_name = current_schema() AND state <> 'idle' AND pid <> pg_backend_pid()`)
      // The server needs some time to notice that a client is gone. Ten seconds are enough under load.
      for (let attempts = 0; attempts < 1000 && (await findBusy()).length > 0; attempts++) await pause(10)
      return Object.fromEntries((await findBusy()).map((session) => [session.pid, session]))
    },
    close: async () => {
      await database.end()
      await close()
    }
  }
}

// Object ids of types, from pg_type.
const BOOL = 16
const TIMESTAMPTZ = 1184
/** int8, int2, int4, float8 and numeric. */
const NUMBERS = [20, 21, 23, 701, 1700]

/** Parsers that return what SQLite would: 0 or 1 for a boolean, ISO 8601 for a time. */
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

/** Opens a connection that the plugin does not use, so the test can block or watch the plugin with it. */
async function connect (host: string, schema: string): Promise<{ db: Db, close: () => Promise<void> }> {
  const client = new pg.Client({ host, user: 'postgres', options: `-c search_path=${schema} -c timezone=UTC -c datestyle=ISO` })
  // Without a listener, an end of the server would end this process too.
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
    // Without this, the server shows the same activity for as long as a transaction of the test lasts.
    await db.value('SELECT pg_stat_clear_snapshot()')
    const pids = await db.column<number>("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = current_schema()")
    if (pids[0] !== undefined && pids.length >= count) return pids[0]
    await pause(5)
  }
}

/** Our tables, constraints, indexes, triggers and functions in the schema, as the server describes them. */
export async function schemaOf (db: Db): Promise<unknown[]> {
  const schema = (await db.value<string>('SELECT current_schema()'))!
  const ourTables = "relnamespace = current_schema()::regnamespace AND relname LIKE 'omnichannel_%'"
  const queries = [
    // Columns, constraints, indexes, triggers and functions.
    `SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid)
      FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE ${ourTables} AND attnum > 0 ORDER BY relname, attnum`,
    `SELECT conname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid
      WHERE ${ourTables} ORDER BY 1, 2`,
    `SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON indrelid = pg_class.oid WHERE ${ourTables} ORDER BY 1`,
    `SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid
      WHERE ${ourTables} AND NOT tgisinternal ORDER BY 1`,
    'SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1'
  ]
  const rows = []
  for (const sql of queries) rows.push(...await db.rows(sql))
  // The name of the schema differs from test to test.
  return JSON.parse(JSON.stringify(rows).replaceAll(schema, 'schema')) as unknown[]
}
