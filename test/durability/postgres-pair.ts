// A primary and its replica, both copies of one template. The replica's link to the primary can be cut.

import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { createCluster, type Cluster } from '../helpers/postgres-server.js'
import { openAddress, type Address } from './address.js'
import { killServer } from './kill-postgres.js'

// fsync can be off, because the kernel keeps what a killed process has written. full_page_writes stays on, because a page may be half written.
// With mmap, shared memory is in files, which are removed with the folder.
const settings = ['fsync=off', 'shared_buffers=32MB', 'autovacuum=off', 'dynamic_shared_memory_type=mmap', 'wal_retrieve_retry_interval=50ms']

export interface Pair {
  /** The folders of the sockets. */
  primary: string
  replica: string
  /** The replica's connection to the primary. */
  link: Address
  /** Cancels the waits for the replica. Those transactions are committed and not confirmed. */
  cancelWaits: () => Promise<unknown>
  /** Kills the primary. */
  kill: () => Promise<void>
  /** Resolves to the time when the primary was back, by `performance.now()`. */
  restart: () => Promise<number>
  /** Promotes the replica, and resolves to the time when it was a primary. */
  promote: () => Promise<number>
  remove: () => Promise<void>
}

/** Resolves once the replica follows. */
export async function startPair (template: Cluster, isSynchronous: boolean): Promise<Pair> {
  const [primary, replica, link] = [await createCluster(template), await createCluster(template), await openAddress()]
  const servers: Array<[server: ChildProcess, data: string]> = []
  const abort = (): void => {
    for (const [server] of servers) server.kill('SIGQUIT')
  }
  // Prepended, so that the servers end before their folders are removed.
  process.prependOnceListener('exit', abort)
  const remove = async (): Promise<void> => {
    for (const [server, data] of servers) await killServer(server, data)
    process.off('exit', abort)
    for (const { remove } of [primary, replica]) remove()
    link.close()
  }
  try {
    link.forwardTo(primary.folder)
    writeFileSync(join(replica.data, 'standby.signal'), '')

    const start = async (cluster: Cluster, more: string[]): Promise<ChildProcess> => {
      const server = await cluster.start(5432, [...settings, ...more])
      servers.push([server, cluster.data])
      return server
    }
    const startPrimary = async (): Promise<ChildProcess> => await start(primary, [`synchronous_standby_names=${isSynchronous ? 'replica' : ''}`])
    let server = await startPrimary()
    await start(replica, [`primary_conninfo=host=${link.folder} user=postgres application_name=replica`])
    await withClient(primary.folder, async (client) =>
      await untilRow(client, `SELECT FROM pg_stat_replication WHERE state = 'streaming' AND (sync_state = 'sync') = ${isSynchronous}`))

    return {
      primary: primary.folder,
      replica: replica.folder,
      link,
      cancelWaits: async () => await withClient(primary.folder, async (client) =>
        await client.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")),
      kill: async () => await killServer(server, primary.data),
      restart: async () => {
        server = await startPrimary()
        return performance.now()
      },
      promote: async () => await withClient(replica.folder, async (client) => {
        await client.query('SELECT pg_promote(wait => false)')
        return await untilRow(client, 'SELECT WHERE NOT pg_is_in_recovery()')
      }),
      remove
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** Repeats a query until it returns a row. Resolves to that time by `performance.now()`. */
async function untilRow (client: pg.Client, sql: string): Promise<number> {
  while ((await client.query(sql)).rowCount === 0) await pause(5)
  return performance.now()
}

async function withClient<Result> (host: string, use: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ host, user: 'postgres' })
  await client.connect()
  return await use(client).finally(async () => { await client.end() })
}
