// What all rounds of a failover run share: two app nodes, the address of their database, and a cluster with the first rows.

import { once } from 'node:events'
import { createCluster, withoutFsync, type Cluster } from '../helpers/postgres-server.js'
import { openAddress, type Address } from './address.js'
import { fill, openPostgres } from './ledger.js'
import { startNode, type AppNode } from './nodes.js'

/** The lockTimeout of each node in milliseconds. The second node gives up sooner than the database is back. */
const lockTimeouts = [5000, 400]

export interface Environment {
  /** Where the nodes look for their database. */
  address: Address
  /** A cluster that does not run. Each round begins with copies of it. */
  template: Cluster
  nodes: AppNode[]
  close: () => void
}

export async function openEnvironment (): Promise<Environment> {
  const [template, address] = [await createCluster(), await openAddress()]
  const nodes: AppNode[] = []
  const server = await template.start(5432, withoutFsync)
  const abort = (): void => {
    for (const node of nodes) void node.kill()
    server.kill('SIGQUIT')
  }
  // Prepended, so that the programs end before the folder is removed.
  process.prependOnceListener('exit', abort)
  const close = (): void => {
    process.off('exit', abort)
    abort()
    address.close()
    template.remove()
  }
  try {
    const store = openPostgres(template.folder)
    await fill(store).finally(store.close)
    address.forwardTo(template.folder)
    for (const lockTimeout of lockTimeouts) nodes.push(await startNode({ host: address.folder, lockTimeout }))
    server.kill('SIGINT')
    await once(server, 'exit')
    return { address, template, nodes, close }
  } catch (error) {
    close()
    throw error
  }
}
