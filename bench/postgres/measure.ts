// Some entrants under the same load, in turns, round by round, on one server.

import type { Hits } from '../client.js'
import { startProcess, type Client, type Server } from '../processes.js'
import { countUpdates, createDatabase } from './data.js'
import { processorTime } from './processor-time.js'
import type { Contestant } from './server.js'

export interface Entrant {
  contestant: Contestant
  nodes: number
}

export type Round = Hits & {
  /** Microseconds of processor time a request, of all nodes and of PostgreSQL. */
  appCpu: number
  serverCpu: number
}

export interface Result {
  connections: number
  /** Milliseconds that were added each way. */
  latency: number
  contacts: number
  entrants: Entrant[]
  /** Of each entrant, in their order. */
  rounds: Round[][]
}

export interface Workshop {
  client: Client
  /** The folder of the server's socket, and of that of the proxy. */
  host: string
  distant: string
  postmaster: number
}

interface Running extends Entrant {
  database: string
  servers: Array<Server<'cpu' | 'stop'>>
  sent: number
}

export async function start ({ host, distant }: Workshop, entrant: Entrant, contacts: number, latency: number): Promise<Running> {
  const database = await createDatabase(host, contacts)
  const options = { contestant: entrant.contestant, host: latency === 0 ? host : distant, database }
  const servers: Running['servers'] = []
  for (let node = 0; node < entrant.nodes; node++) servers.push(await startProcess('postgres/server', options))
  return { ...entrant, database, servers, sent: 0 }
}

/** Stops an entrant, and looks whether every update that it acknowledged is there, once and whole. */
async function stop ({ host }: Workshop, { contestant, database, servers, sent }: Running, contacts: number): Promise<void> {
  for (const server of servers) await server.ask('stop')
  const updates = await countUpdates(host, database, contacts)
  if (updates !== sent) throw new Error(`${contestant}: acknowledged ${sent} updates and holds ${updates}`)
}

type Limit = { milliseconds: number } | { requests: number }

async function shoot (
  { client, postmaster }: Workshop, running: Running, contacts: number, connections: number, limit: Limit
): Promise<Round> {
  const cpu = async (): Promise<{ app: number, server: number }> => {
    let app = 0
    for (const server of running.servers) {
      const { user, system } = await server.ask<NodeJS.CpuUsage>('cpu')
      app += user + system
    }
    return { app, server: processorTime(postmaster) }
  }
  const before = await cpu()
  const ports = running.servers.map(({ port }) => port)
  const hits = await client.shoot({ load: 'form', ports, contacts, connections, ...limit, from: running.sent })
  const after = await cpu()
  running.sent += hits.requests
  return { ...hits, appCpu: (after.app - before.app) / hits.requests, serverCpu: (after.server - before.server) / hits.requests }
}

export interface Race {
  latency: number
  contacts: number
  entrants: Entrant[]
  /** How many requests each node has before anything is measured: V8 compiles for some thousands. */
  warmUp: number
  rounds: number
  /** What is shot at them, one after the other. */
  shots: Array<{ connections: number, milliseconds: number }>
}

export async function race (workshop: Workshop, { latency, contacts, entrants, warmUp, rounds, shots }: Race): Promise<Result[]> {
  const running: Running[] = []
  for (const entrant of entrants) running.push(await start(workshop, entrant, contacts, latency))
  for (const one of running) await shoot(workshop, one, contacts, 32, { requests: warmUp * one.nodes })
  const results: Result[] = []
  for (const { connections, milliseconds } of shots) {
    // Of more nodes than connections, some would have nothing to do.
    const shotAt = running.filter(({ nodes }) => nodes <= connections)
    const result: Result = {
      connections, latency, contacts,
      entrants: shotAt.map(({ contestant, nodes }) => ({ contestant, nodes })),
      rounds: shotAt.map(() => [])
    }
    for (let round = 0; round < rounds; round++) {
      for (const [index, one] of shotAt.entries()) {
        result.rounds[index]?.push(await shoot(workshop, one, contacts, connections, { milliseconds }))
      }
    }
    results.push(result)
  }
  for (const one of running) await stop(workshop, one, contacts)
  return results
}
