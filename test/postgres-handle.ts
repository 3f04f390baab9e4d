// A PostgreSQL as tests look at it: with the calls of better-sqlite3, so that one test serves both engines. The connection
// lives in a worker, for which the calls wait.

import type Database from 'better-sqlite3'
import pg, { type PoolConfig } from 'pg'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { postgresHost } from './engines.js'

const flag = new Int32Array(new SharedArrayBuffer(4))
const { port1: near, port2: far } = new MessageChannel()
let worker: Worker | undefined

/** What the worker is asked. */
export interface Order {
  host: string
  schema: string
  sql: string
  values?: unknown[]
}

function ask (order: Order): Array<Record<string, unknown>> {
  if (worker === undefined) {
    worker = new Worker(new URL('fixtures/postgres-worker.js', import.meta.url), { workerData: { flag, port: far }, transferList: [far], execArgv: [], env: {} })
    worker.unref()
  }
  Atomics.store(flag, 0, 0)
  near.postMessage(order)
  // The notification of the order before may come only now.
  while (Atomics.load(flag, 0) === 0) Atomics.wait(flag, 0, 0)
  const { rows, error } = receiveMessageOnPort(near)?.message as { rows: Array<Record<string, unknown>>, error?: string }
  if (error !== undefined) throw new Error(`${error}\n${order.sql}`)
  return rows
}

/** Resolves to a process that serves the plugin as soon as `count` of them wait for a lock, in the schema of `database`. */
export async function backendThatWaits (database: Database.Database, count = 1): Promise<number> {
  const schema = database.prepare<[], string>('SELECT current_schema()').pluck().get()!
  const waiting = createHandle(await postgresHost(), 'pg_catalog')
    .prepare("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = ?").pluck()
  for (;;) {
    const pids = waiting.all(schema)
    if (pids.length >= count) return Number(pids[0])
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** SQLite's words in PostgreSQL's. */
function translate (sql: string): string {
  let count = 0
  return sql
    .replace(/INSERT OR IGNORE (INTO .*?)(?=;|$)/gs, 'INSERT $1 ON CONFLICT DO NOTHING')
    .replace(/CREATE TRIGGER (\w+) BEFORE UPDATE ON (\w+)(?: WHEN (.*?))? BEGIN SELECT RAISE\(ABORT, '(.*?)'\); END/gs, (_, name, table, when, message) => `
      CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '${message}'; END $$;
      CREATE TRIGGER ${name} BEFORE UPDATE ON ${table} FOR EACH ROW ${when === undefined ? '' : `WHEN (${when})`} EXECUTE FUNCTION ${name}()`)
    .replace(/ORDER BY rowid/g, 'ORDER BY position')
    .replace(/DROP TRIGGER (\w+)/g, 'DROP FUNCTION $1 CASCADE')
    .replace(/('(?:[^']|'')*')|@\w+|\?/g, (_, literal?: string) => literal ?? `$${++count}`)
}

let schemas = 0

/** A client that takes no batches, as that of pg-native. */
class Plain extends pg.Client {}
Object.assign(Plain, { Query: undefined })

export interface PoolSettings extends PoolConfig {
  /** False: one query after the other, by a client that can do no other. */
  pipeline?: boolean
  /** Options of the server for its sessions, as `-c name=value`. */
  defaults?: string
}

/** A schema of its own for a test, the handle that looks at it, and a pool for the plugin. */
export async function openSchema ({ defaults = '', ...config }: PoolSettings = {}) {
  const host = await postgresHost()
  const schema = `test_${process.pid}_${++schemas}`
  const handle = createHandle(host, schema)
  handle.exec(`CREATE SCHEMA ${schema};
    CREATE VIEW sqlite_schema AS SELECT relname AS name, 'table' AS type FROM pg_class WHERE relkind = 'r' AND relnamespace = '${schema}'::regnamespace`)
  const settings = { host, user: 'postgres', options: `-c search_path=${schema} ${defaults}`, application_name: schema, pipeline: true, max: 5, ...config.pipeline === false && { Client: Plain }, ...config }
  const given = new pg.Pool(settings)
  return {
    database: handle as unknown as Database.Database,
    given,
    /** For more pools on the same schema. */
    settings,
    /** As the command line takes it. */
    url: `postgres://postgres:s3cret@/postgres?host=${host}&application_name=${schema}&options=${encodeURIComponent(`-c search_path=${schema}`)}`,
    close: async () => {
      await given.end()
      handle.close()
    }
  }
}

function createHandle (host: string, schema: string) {
  const query = (sql: string, values: unknown[] = []): Array<Record<string, unknown>> => {
    const [first] = values
    const isNamed = typeof first === 'object' && first !== null
    const named = isNamed ? [...sql.matchAll(/@(\w+)/g)].map(([, name = '']) => (first as Record<string, unknown>)[name]) : values
    return ask({ host, schema, sql: translate(sql), values: named })
  }
  return {
    open: true,
    inTransaction: false,
    exec: (sql: string): void => { ask({ host, schema, sql: translate(sql) }) },
    pragma: (): never => { throw new Error('a test for both engines needs no pragma') },
    close: (): void => { ask({ host, schema, sql: '' }) },
    prepare: (sql: string) => {
      let isPlucked = false
      const cell = (row: Record<string, unknown> | undefined): unknown => isPlucked && row !== undefined ? Object.values(row)[0] : row
      const statement = {
        run: (...values: unknown[]): void => { query(sql, values) },
        get: (...values: unknown[]): unknown => cell(query(sql, values)[0]),
        all: (...values: unknown[]): unknown[] => query(sql, values).map(cell),
        pluck: () => { isPlucked = true; return statement }
      }
      return statement
    }
  }
}
