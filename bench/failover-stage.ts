// What lasts from round to round: two app nodes, the address that they know, and the data that every round begins with.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createCluster, forgetful, type Cluster } from '../.ci/postgres.js'
import { openAddress, type Address } from './failover-address.js'
import { fill } from './failover-ledger.js'
import { answerOf, bundle, bundles } from './processes.js'

/** `lockTimeout` of each. One of them soon gives up, and so has its COMMIT cut short while that waits for the replica. */
const nodes = [5000, 150]

export interface Stage {
  /** Where the nodes look for their database. */
  address: Address
  /** A cluster that does not run. */
  template: Cluster
  /** Of the nodes. */
  ports: number[]
  /** Which of the nodes have ended, by their ports. */
  ended: () => number[]
  close: () => Promise<void>
}

export async function openStage (): Promise<Stage> {
  const undo: Array<() => unknown> = []
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const template = await createCluster()
    undo.push(template.remove)
    process.once('exit', template.remove)
    undo.push(() => process.off('exit', template.remove))
    const address = await openAddress()
    undo.push(address.close)

    const server = await template.start(5432, forgetful)
    const stop = async (): Promise<void> => {
      if (server.exitCode === null && server.kill('SIGINT')) await once(server, 'exit')
    }
    undo.push(stop)
    await fill(template.folder)
    address.leadTo(template.folder)
    // As plain JavaScript, which starts in a fifth of the time that a loader takes.
    await bundle(['failover-server'])
    const children = nodes.map((lockTimeout) => fork(`${bundles}/failover-server.mjs`, [address.folder, String(lockTimeout)], { execArgv: [] }))
    undo.push(() => children.map((child) => child.kill('SIGKILL')))
    const ports = await Promise.all(children.map(async (child) => await answerOf<number>(child, 'answer')))
    await stop()
    const hasEnded = (index: number): boolean => children[index]?.exitCode !== null || children[index].signalCode !== null
    return { address, template, ports, ended: () => ports.filter((_, index) => hasEnded(index)), close }
  } catch (error) {
    await close()
    throw error
  }
}
