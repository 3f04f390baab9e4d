// A cell of the benchmark: some entrants under the same load, in turns, round by round.

import { constants, copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Hits } from './client.js'
import { buildFile, countUpdates, flush } from './data.js'
import { loads, type LoadName } from './loads.js'
import { lock, startServer, type Client, type Server } from './processes.js'
import type { Contestant } from './server.js'
import type { Turns } from './turns.js'

export interface Entrant {
  contestant: Contestant
  synchronous: 'NORMAL' | 'FULL'
  contacts: number
}

export interface Cell {
  load: LoadName
  connections: number
  entrants: Entrant[]
}

export type Round = Hits & {
  /** Microseconds of processor time that the server used, a request. */
  serverCpu: number
}

export interface Result extends Cell {
  /** Of each entrant, in the order of the cell. */
  rounds: Round[][]
}

export interface Workshop {
  folder: string
  client: Client
}

interface Running extends Entrant {
  file: string
  server: Server
  sent: number
}

let files = 0

/** Starts a server on a file of its own, the same for everybody. */
export async function start ({ folder }: Workshop, entrant: Entrant): Promise<Running> {
  const built = join(folder, `${entrant.contacts}.db`)
  const file = join(folder, `entrant-${files++}.db`)
  buildFile(built, entrant.contacts)
  copyFileSync(built, file, constants.COPYFILE_FICLONE)
  flush(file)
  const { contestant, synchronous } = entrant
  return { ...entrant, file, server: await startServer({ contestant, file, synchronous }), sent: 0 }
}

/** Stops the server, and looks whether every update that it acknowledged is there, once and whole. */
async function stop (running: Running, load: LoadName): Promise<void> {
  await running.server.ask('stop')
  if (running.contestant !== 'ceiling') {
    const updates = countUpdates(running.file, running.contacts)
    const expected = loads[load].writes ? running.sent : 0
    if (updates !== expected) throw new Error(`${running.contestant}: acknowledged ${expected} updates and holds ${updates}`)
  }
  remove(running)
}

function remove ({ file }: Running): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
}

type Fire = Pick<Cell, 'load' | 'connections'>
type Limit = { milliseconds: number } | { requests: number }

async function shoot ({ client }: Workshop, running: Running, cell: Fire, limit: Limit): Promise<Round> {
  const before = await running.server.ask<NodeJS.CpuUsage>('cpu')
  const { server: { port }, contacts, sent } = running
  const hits = await client.shoot({ load: cell.load, connections: cell.connections, ...limit, ports: [port], contacts, from: sent })
  const after = await running.server.ask<NodeJS.CpuUsage>('cpu')
  running.sent += hits.requests
  return { ...hits, serverCpu: (after.user + after.system - before.user - before.system) / hits.requests }
}

/** So many that the compiler of the slowest is done too; the same number for everybody. */
const warmUp = { requests: 3000 }

export async function measure (workshop: Workshop, cell: Cell, rounds: number, milliseconds: number): Promise<Result> {
  const running: Running[] = []
  for (const entrant of cell.entrants) running.push(await start(workshop, entrant))
  // As many connections as there are later; a single one would hardly warm anything up.
  for (const one of running) await shoot(workshop, one, { ...cell, connections: Math.max(cell.connections, 32) }, warmUp)
  const result: Result = { ...cell, rounds: running.map(() => []) }
  for (let round = 0; round < rounds; round++) {
    for (const [index, one] of running.entries()) result.rounds[index]?.push(await shoot(workshop, one, cell, { milliseconds }))
  }
  for (const one of running) await stop(one, cell.load)
  return result
}

/** Every turn of the event loop under the load of the whole form. */
export async function measureTurns (workshop: Workshop, entrant: Entrant, connections: number, milliseconds: number): Promise<Turns> {
  const running = await start(workshop, entrant)
  const cell = { load: 'form', connections } as const
  await shoot(workshop, running, cell, warmUp)
  await running.server.ask('watch')
  await shoot(workshop, running, cell, { milliseconds })
  const turns = await running.server.ask<Turns>('turns')
  await stop(running, 'form')
  return turns
}

/** The same while another process keeps the write lock. */
export async function measureLocked (workshop: Workshop, entrant: Entrant, milliseconds: number): Promise<Turns> {
  const running = await start(workshop, entrant)
  const cell = { load: 'form', connections: 32 } as const
  await shoot(workshop, running, cell, warmUp)
  await running.server.ask('watch')
  const { released } = await lock(running.file, milliseconds)
  await shoot(workshop, running, cell, { milliseconds: milliseconds + 500 })
  await released
  const turns = await running.server.ask<Turns>('turns')
  await stop(running, 'form')
  return turns
}

/** Microseconds of processor time of an update without HTTP. */
export async function measureInProcess (workshop: Workshop, entrant: Entrant): Promise<number> {
  const running = await start(workshop, entrant)
  const time = await running.server.ask<number>('inProcess')
  await running.server.ask('stop')
  remove(running)
  return time
}

export interface Memory { rss: number, heapUsed: number }

/** After the garbage collector ran: once `few` updates were made, and again after `many`. */
export async function measureMemory (workshop: Workshop, entrant: Entrant, few: number, many: number): Promise<[Memory, Memory]> {
  const running = await start(workshop, entrant)
  const cell = { load: 'form', connections: 32 } as const
  await shoot(workshop, running, cell, { requests: few })
  const first = await running.server.ask<Memory>('memory')
  await shoot(workshop, running, cell, { requests: many - few })
  const second = await running.server.ask<Memory>('memory')
  await stop(running, 'form')
  return [first, second]
}
