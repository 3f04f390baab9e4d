// What lasts from round to round: two app nodes, their address of the database, and the data that every round begins with.

import { once } from 'node:events'
import { createCluster, forgetful, type Cluster } from '../postgres-server.js'
import { openAddress, type Address } from './address.js'
import { fill, openPostgres } from './ledger.js'
import { startNode, type AppNode } from './nodes.js'

/** One of the nodes soon gives up. */
const lockTimeouts = [5000, 400]

export interface Stage {
  /** Where the nodes look for their database. */
  address: Address
  /** A cluster that does not run. */
  template: Cluster
  nodes: AppNode[]
  close: () => void
}

export async function openStage (): Promise<Stage> {
  const [template, address] = [await createCluster(), await openAddress()]
  const nodes: AppNode[] = []
  const server = await template.start(5432, forgetful)
  const abort = (): void => {
    for (const node of nodes) void node.kill()
    server.kill('SIGQUIT')
  }
  // Before the folder is removed.
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
    address.leadTo(template.folder)
    for (const lockTimeout of lockTimeouts) nodes.push(await startNode({ host: address.folder, lockTimeout }))
    server.kill('SIGINT')
    await once(server, 'exit')
    return { address, template, nodes, close }
  } catch (error) {
    close()
    throw error
  }
}
