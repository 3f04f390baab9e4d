// A primary and its replica, both from one template, on two sockets; the replica's link to the primary can be cut.

import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { createCluster, type Cluster } from '../../.ci/postgres.js'
import { openAddress, type Address } from './failover-address.js'
import { killServer } from './failover-kill.js'

// What the system was handed outlives a killed process, so nothing needs to reach the disk. But a page may be written by half,
// so full_page_writes stays on, as synchronous_commit does. Shared memory in files is gone with the folder.
const settings = ['fsync=off', 'shared_buffers=32MB', 'autovacuum=off', 'dynamic_shared_memory_type=mmap', 'wal_retrieve_retry_interval=50ms']

export interface Pair {
  primary: string
  replica: string
  /** What the primary is reached at by the replica. */
  link: Address
  /** Has the primary wait for its replica no longer, in the transactions that do. They are committed, and not confirmed. */
  cancelWaits: () => Promise<unknown>
  /** Ends the primary without a word. */
  kill: () => Promise<void>
  /** Resolves to when the primary was back, by `performance.now()`. */
  restart: () => Promise<number>
  /** Makes a primary of the replica, and resolves to when it was one. */
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
  // Before the folders are removed.
  process.prependOnceListener('exit', abort)
  const remove = async (): Promise<void> => {
    for (const [server, data] of servers) await killServer(server, data)
    process.off('exit', abort)
    for (const { remove } of [primary, replica]) remove()
    link.close()
  }
  try {
    link.leadTo(primary.folder)
    writeFileSync(join(replica.data, 'standby.signal'), '')

    const start = async (cluster: Cluster, more: string[]): Promise<ChildProcess> => {
      const server = await cluster.start(5432, [...settings, ...more])
      servers.push([server, cluster.data])
      return server
    }
    const startPrimary = async (): Promise<ChildProcess> => await start(primary, [`synchronous_standby_names=${isSynchronous ? 'replica' : ''}`])
    let server = await startPrimary()
    await start(replica, [`primary_conninfo=host=${link.folder} user=postgres application_name=replica`])
    await until(primary.folder, "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND (sync_state = 'sync') = $1", [isSynchronous])

    return {
      primary: primary.folder,
      replica: replica.folder,
      link,
      cancelWaits: async () => await until(primary.folder, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", []),
      kill: async () => await killServer(server, primary.data),
      restart: async () => {
        server = await startPrimary()
        return performance.now()
      },
      promote: async () => await until(replica.folder, 'SELECT WHERE NOT pg_is_in_recovery()', [], 'SELECT pg_promote(false)'),
      remove
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** Waits until the server in a folder finds a row, and returns when it did. */
async function until (host: string, question: string, values: unknown[], first = 'SELECT'): Promise<number> {
  const client = new pg.Client({ host, user: 'postgres' })
  await client.connect()
  try {
    await client.query(first)
    while ((await client.query(question, values)).rowCount === 0) await pause(5)
    return performance.now()
  } finally {
    await client.end()
  }
}
