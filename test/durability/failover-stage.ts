// What lasts from round to round: two app nodes, the address that they know, and the data that every round begins with.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createCluster, forgetful, type Cluster } from '../../.ci/postgres.js'
import { openAddress, type Address } from './failover-address.js'
import { fill } from './failover-ledger.js'

/** `lockTimeout` of each. One of them soon gives up. */
const nodes = [5000, 400]

export interface Stage {
  /** Where the nodes look for their database. */
  address: Address
  /** A cluster that does not run. */
  template: Cluster
  /** Of the nodes. */
  ports: number[]
  /** Which of the nodes have ended, by their ports. */
  ended: () => number[]
  close: () => void
}

export async function openStage (): Promise<Stage> {
  const [template, address] = [await createCluster(), await openAddress()]
  const apps: ChildProcess[] = []
  let server: ChildProcess | undefined
  const abort = (): void => {
    for (const app of apps) app.kill('SIGKILL')
    server?.kill('SIGQUIT')
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
    server = await template.start(5432, forgetful)
    await fill(template.folder)
    address.leadTo(template.folder)
    const program = new URL('failover-server.ts', import.meta.url)
    for (const lockTimeout of nodes) apps.push(fork(program, [address.folder, String(lockTimeout)], { execArgv: ['--import', 'tsx'] }))
    const ports = await Promise.all(apps.map(async (app) => (await once(app, 'message') as [{ answer: number }])[0].answer))
    server.kill('SIGINT')
    await once(server, 'exit')
    const hasEnded = (index: number): boolean => apps[index]?.exitCode !== null || apps[index].signalCode !== null
    return { address, template, ports, ended: () => ports.filter((_, index) => hasEnded(index)), close }
  } catch (error) {
    close()
    throw error
  }
}
